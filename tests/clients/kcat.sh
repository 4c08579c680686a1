#!/usr/bin/env bash
# kcat (librdkafka 2.0): metadata, every codec, a group, offsets by time.
set -euo pipefail
broker=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "kcat: $*" >&2; exit 1; }

echo "kcat: metadata, and a topic that comes into being"
kcat -b "$broker" -L | grep -q 'brokers:' || fail "no metadata"
for codec in none gzip snappy lz4 zstd; do
    echo "kcat: $codec"
    seq 1000 | sed "s/^/$codec /" | kcat -b "$broker" -t kcat -P -z "$codec" 2>"$work/log" || fail "$(cat "$work/log")"
    ! grep -q 'does not support compression' "$work/log" || fail "$(cat "$work/log")"
done
[ "$(kcat -b "$broker" -t kcat -C -e -q -o beginning | wc -l)" = 5000 ] || fail "not all records came back"

echo "kcat: a group"
[ "$(timeout 30 kcat -b "$broker" -G kcat-group -X auto.offset.reset=earliest -c 5000 -q kcat | wc -l)" = 5000 ] || fail "the group missed records"

echo "kcat: offsets by time"
kcat -b "$broker" -Q -t kcat:0:1 | grep -q 'offset 0' || fail "no offset for a time"

echo "kcat: a transactional producer"
printf 'a\nb\n' | kcat -b "$broker" -t kcat-txn -P -X transactional.id=kcat || fail "no transaction"
[ "$(kcat -b "$broker" -t kcat-txn -C -e -q -o beginning -X isolation.level=read_committed | wc -l)" = 2 ] || fail "not committed"

// kafkajs: codecs, groups, transactions, administration.
const {Kafka, CompressionTypes, CompressionCodecs, logLevel, ConfigResourceTypes} = require('kafkajs');
const lz4 = require('lz4js');
const zstd = require('@bokuweb/zstd-wasm');
const plain = ({compress, decompress}) => () => ({
  compress: async encoder => Buffer.from(compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(decompress(buffer)),
});
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy');
CompressionCodecs[CompressionTypes.LZ4] = plain(lz4);
CompressionCodecs[CompressionTypes.ZSTD] = plain(zstd);

const kafka = new Kafka({clientId: 'js', brokers: [process.argv[2]], logLevel: logLevel.ERROR});
const show = name => console.log('kafkajs:', name);
const assert = require('assert');

async function consume(count, groupId, readUncommitted = false) {
  const consumer = kafka.consumer({groupId, readUncommitted});
  await consumer.connect();
  await consumer.subscribe({topics: ['js'], fromBeginning: true});
  const records = [];
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${records.length} of ${count} records`)), 30000);
    consumer.run({eachMessage: async ({message}) => {
      records.push(message.value.toString());
      if (records.length === count) { clearTimeout(timer); resolve(); }
    }}).catch(reject);
  });
  await consumer.disconnect();
  return records;
}

async function main() {
  await zstd.init();
  show('administer topics');
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({topics: [{topic: 'js', numPartitions: 2}, {topic: 'js-gone', numPartitions: 1}]});
  await admin.createPartitions({topicPartitions: [{topic: 'js', count: 3}]});
  await admin.deleteTopics({topics: ['js-gone']});
  const resource = {type: ConfigResourceTypes.TOPIC, name: 'js'};
  await admin.alterConfigs({validateOnly: false, resources: [{...resource, configEntries: [{name: 'retention.ms', value: '7200000'}]}]});
  const described = await admin.describeConfigs({includeSynonyms: false, resources: [resource]});
  assert(described.resources[0].configEntries.some(entry => entry.configName === 'retention.ms' && entry.configValue === '7200000'));

  show('produce with every codec');
  const codecs = [CompressionTypes.None, CompressionTypes.GZIP, CompressionTypes.Snappy, CompressionTypes.LZ4, CompressionTypes.ZSTD];
  const producer = kafka.producer();
  await producer.connect();
  for (const compression of codecs) {
    const messages = Array.from({length: 100}, (_, number) => ({key: `${number}`, value: `codec ${compression} `.repeat(20)}));
    await producer.send({topic: 'js', compression, messages});
  }
  await producer.disconnect();

  show('consume in a group');
  assert.strictEqual((await consume(500, 'js')).length, 500);

  show('transactions, committed and aborted');
  const transactional = kafka.producer({transactionalId: 'js', maxInFlightRequests: 1, idempotent: true});
  await transactional.connect();
  for (let round = 0; round < 4; round++) {
    const transaction = await transactional.transaction();
    await transaction.send({topic: 'js', messages: [{value: `transaction ${round}`}]});
    await transaction.sendOffsets({consumerGroupId: 'js-eos', topics: [{topic: 'js', partitions: [{partition: 0, offset: `${round}`}]}]});
    if (round % 2) await transaction.abort(); else await transaction.commit();
  }
  await transactional.disconnect();
  const values = (await consume(502, 'js-committed')).filter(value => value.startsWith('transaction'));
  assert.deepStrictEqual(new Set(values), new Set(['transaction 0', 'transaction 2']));
  const offsets = await admin.fetchOffsets({groupId: 'js-eos', topics: ['js']});
  assert.strictEqual(offsets[0].partitions.find(found => found.partition === 0).offset, '2');

  show('groups and records');
  const groups = (await admin.listGroups()).groups.map(group => group.groupId);
  assert(groups.includes('js') && groups.includes('js-eos'));
  await admin.deleteTopicRecords({topic: 'js', partitions: [{partition: 0, offset: '10'}]});
  const range = (await admin.fetchTopicOffsets('js')).find(found => found.partition === 0);
  assert.strictEqual(range.low, '10');
  await admin.deleteGroups(['js']);
  await admin.disconnect();
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1); });

//! The registry that speaks Confluent's REST API.

use std::fmt::{self, Debug, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use super::SerdeError;
use super::registry::SchemaRegistry;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How long a schema registry has to answer, if nothing else is said.
pub const REGISTRY_TIMEOUT: Duration = Duration::from_secs(60);

/// How large an answer of a schema registry may be, if nothing else is said.
pub const REGISTRY_RESPONSE_BYTES_MAX: u64 = 16 << 20;

/// A schema registry that is asked over HTTP (Confluent Schema Registry, or one that speaks its protocol).
///
/// Requests end after [`REGISTRY_TIMEOUT`], and answers have at most [`REGISTRY_RESPONSE_BYTES_MAX`]. Connections are kept. Servers of
/// `https` URLs are those whose certificate one of Mozilla's authorities signed. Proxies are not used. Schemas that refer
/// to others (`references`) are errors.
///
/// ```
/// use std::sync::Arc;
/// use streams_core::serde::{AvroSerde, HttpSchemaRegistry};
///
/// let registry = HttpSchemaRegistry::new("https://registry.example.com")?.with_basic_auth("me", "secret");
/// let serde = AvroSerde::<String>::for_value(Arc::new(registry), r#""string""#)?;
/// # Ok::<(), streams_core::serde::SerdeError>(())
/// ```
pub struct HttpSchemaRegistry {
    url: String,
    authorization: Option<String>,
    timeout: Duration,
    response_bytes_max: u64,
    agent: Agent,
}

impl HttpSchemaRegistry {
    /// The registry at this URL (`schema.registry.url`), such as `http://localhost:8081`.
    ///
    /// # Errors
    /// If the URL is not one of `http` or `https`, or has a name and a password, for which there is
    /// [`with_basic_auth`](Self::with_basic_auth).
    pub fn new(url: &str) -> Result<Self, SerdeError> {
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let Some(host) = host.and_then(|rest| rest.split('/').next()) else {
            let expected = "the URL of a schema registry begins with http:// or https://";
            return Err(SerdeError::new(format!("{expected}, but {url} does not")));
        };
        if host.contains('@') {
            let instead = "give name and password to with_basic_auth";
            return Err(SerdeError::new(format!(
                "the URL of a schema registry is without a password: {instead}"
            )));
        }
        let config = Agent::config_builder().http_status_as_error(false).proxy(None);
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            authorization: None,
            timeout: REGISTRY_TIMEOUT,
            response_bytes_max: REGISTRY_RESPONSE_BYTES_MAX,
            agent: config.build().new_agent(),
        })
    }

    /// Name and password for the registry (`basic.auth.user.info`). None by default.
    #[must_use]
    pub fn with_basic_auth(mut self, name: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))));
        self
    }

    /// How long a request may take, from looking up the host to the end of the answer. Default: [`REGISTRY_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How large an answer may be. Default: [`REGISTRY_RESPONSE_BYTES_MAX`].
    #[must_use]
    pub fn with_response_bytes_max(mut self, bytes: u64) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// The answer to a POST of `body`, or a GET without. `what` begins the sentence if it goes wrong.
    fn ask(&self, what: &str, path: &str, body: Option<&Value>) -> Result<Value, SerdeError> {
        let url = format!("{}{path}", self.url);
        let failed = |why: String| SerdeError::new(format!("cannot {what} at {url}: {why}"));
        let answer = self.send(&url, body).map_err(|error| failed(error.to_string()))?;
        let (parts, mut body) = answer.into_parts();
        let text = body.with_config().limit(self.response_bytes_max).read_to_vec();
        let text = text.map_err(|error| failed(error.to_string()))?;
        let json: Option<Value> = serde_json::from_slice(&text).ok();
        match json {
            Some(json) if parts.status.is_success() => Ok(json),
            json => {
                let json = json.unwrap_or_default();
                let message = json["message"]
                    .as_str()
                    .unwrap_or("the answer is not JSON of a schema registry");
                let code = json["error_code"].as_i64();
                let code = code.map_or_else(String::new, |code| format!(" (error code {code})"));
                Err(failed(format!(
                    "status {}: {message}{code}",
                    parts.status.as_u16()
                )))
            }
        }
    }

    fn send(&self, url: &str, body: Option<&Value>) -> Result<Response<Body>, ureq::Error> {
        let Some(body) = body else {
            return self.with_headers(self.agent.get(url)).call();
        };
        let request = self.with_headers(self.agent.post(url));
        let request = request.header("Content-Type", CONTENT_TYPE);
        request.send(body.to_string())
    }

    fn with_headers<M>(&self, request: RequestBuilder<M>) -> RequestBuilder<M> {
        let request = request.config().timeout_global(Some(self.timeout)).build();
        let request = request.header("Accept", CONTENT_TYPE);
        match &self.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        }
    }

    fn ask_for_id(&self, what: &str, path: &str, schema: &str) -> Result<i32, SerdeError> {
        let answer = self.ask(what, path, Some(&json!({ "schema": schema })))?;
        let id = answer["id"].as_i64().and_then(|id| i32::try_from(id).ok());
        id.ok_or_else(|| self.senseless(what, path, "has no id"))
    }

    fn senseless(&self, what: &str, path: &str, answer: &str) -> SerdeError {
        SerdeError::new(format!(
            "cannot {what} at {}{path}: the answer {answer}",
            self.url
        ))
    }
}

impl SchemaRegistry for HttpSchemaRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<i32, SerdeError> {
        let what = format!("register the schema of subject {subject}");
        let path = format!("/subjects/{}/versions", percent_encoded(subject));
        self.ask_for_id(&what, &path, schema)
    }

    fn id_of(&self, subject: &str, schema: &str) -> Result<i32, SerdeError> {
        let what = format!("look up the schema of subject {subject}");
        let path = format!("/subjects/{}", percent_encoded(subject));
        self.ask_for_id(&what, &path, schema)
    }

    fn schema(&self, id: i32) -> Result<String, SerdeError> {
        let what = format!("read the schema with the id {id}");
        let path = format!("/schemas/ids/{id}");
        let answer = self.ask(&what, &path, None)?;
        let kind = answer["schemaType"].as_str().unwrap_or("AVRO");
        if kind != "AVRO" {
            return Err(self.senseless(&what, &path, &format!("is a schema of the type {kind}, not AVRO")));
        }
        if answer["references"]
            .as_array()
            .is_some_and(|schemas| !schemas.is_empty())
        {
            let refers =
                "is a schema that refers to others, which is not supported: register it in one piece";
            return Err(self.senseless(&what, &path, refers));
        }
        let schema = answer["schema"].as_str().map(str::to_owned);
        schema.ok_or_else(|| self.senseless(&what, &path, "has no schema"))
    }
}

impl Debug for HttpSchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSchemaRegistry")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// As one segment of a path.
fn percent_encoded(subject: &str) -> String {
    let mut encoded = String::new();
    for byte in subject.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            // Writing to a string does not fail.
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::super::SerdeError;
    use super::{HttpSchemaRegistry, SchemaRegistry};

    /// A server that gives one answer, and the request it got: its first line, the headers that matter, and the body.
    fn server(status: &str, answer: &str) -> (HttpSchemaRegistry, String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        );
        let request = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut request = Vec::new();
            let mut body_bytes = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim_end().to_owned();
                let header = line.to_ascii_lowercase();
                if let Some(length) = header.strip_prefix("content-length: ") {
                    body_bytes = length.parse().unwrap();
                }
                let matters = ["content-type", "authorization", "accept:"];
                if request.is_empty() || matters.iter().any(|name| header.starts_with(name)) {
                    request.push(line.clone());
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; body_bytes];
            reader.read_exact(&mut body).unwrap();
            request[1..].sort();
            request.push(String::from_utf8(body).unwrap());
            (&stream).write_all(answer.as_bytes()).unwrap();
            request
        });
        (HttpSchemaRegistry::new(&url).unwrap(), url, request)
    }

    fn told<T: std::fmt::Debug>(result: Result<T, SerdeError>) -> String {
        result.unwrap_err().to_string()
    }

    const ACCEPT: &str = "accept: application/vnd.schemaregistry.v1+json";
    const CONTENT_TYPE: &str = "content-type: application/vnd.schemaregistry.v1+json";

    #[test]
    fn a_schema_is_registered_by_its_subject() {
        let (registry, _, request) = server("200 OK", r#"{"id": 7}"#);
        let registry = registry.with_basic_auth("me", "secret");
        assert_eq!(registry.register("a/b é-value", r#""string""#).unwrap(), 7);
        let expected = [
            "POST /subjects/a%2Fb%20%C3%A9-value/versions HTTP/1.1",
            ACCEPT,
            "authorization: Basic bWU6c2VjcmV0",
            CONTENT_TYPE,
            r#"{"schema":"\"string\""}"#,
        ];
        assert_eq!(request.join().unwrap(), expected);
        assert!(!format!("{registry:?}").contains("bWU6"));
    }

    #[test]
    fn an_id_is_looked_up_without_registering() {
        let answer = r#"{"subject": "orders-value", "id": 8, "version": 2, "schema": "\"string\""}"#;
        let (registry, _, request) = server("200 OK", answer);
        assert_eq!(registry.id_of("orders-value", r#""string""#).unwrap(), 8);
        let expected = [
            "POST /subjects/orders-value HTTP/1.1",
            ACCEPT,
            CONTENT_TYPE,
            r#"{"schema":"\"string\""}"#,
        ];
        assert_eq!(request.join().unwrap(), expected);
    }

    #[test]
    fn a_schema_is_read_by_its_id() {
        let (registry, _, request) = server("200 OK", r#"{"schema": "\"string\""}"#);
        assert_eq!(registry.schema(9).unwrap(), r#""string""#);
        assert_eq!(
            request.join().unwrap(),
            ["GET /schemas/ids/9 HTTP/1.1", ACCEPT, ""]
        );
    }

    #[test]
    fn what_the_registry_refuses_is_said_in_its_words() {
        let not_found = r#"{"error_code":40403,"message":"Schema not found"}"#;
        let (registry, url, request) = server("404 Not Found", not_found);
        assert_eq!(
            told(registry.schema(9)),
            format!(
                "cannot read the schema with the id 9 at {url}/schemas/ids/9: status 404: Schema not found (error code 40403)"
            )
        );
        request.join().unwrap();
        let (registry, url, request) =
            server("409 Conflict", r#"{"error_code":409,"message":"incompatible"}"#);
        assert_eq!(
            told(registry.register("orders-value", "{}")),
            format!(
                "cannot register the schema of subject orders-value at {url}/subjects/orders-value/versions: \
                 status 409: incompatible (error code 409)"
            )
        );
        request.join().unwrap();
    }

    #[test]
    fn answers_without_sense_are_errors() {
        let protobuf = r#"{"schemaType": "PROTOBUF", "schema": "message A {}"}"#;
        let refers = r#"{"schema": "{}", "references": [{"name": "a", "subject": "b", "version": 1}]}"#;
        for (status, answer, expected) in [
            (
                "502 Bad Gateway",
                "<html>",
                "status 502: the answer is not JSON of a schema registry",
            ),
            (
                "200 OK",
                "<html>",
                "status 200: the answer is not JSON of a schema registry",
            ),
            ("200 OK", "{}", "the answer has no schema"),
            (
                "200 OK",
                protobuf,
                "the answer is a schema of the type PROTOBUF, not AVRO",
            ),
            (
                "200 OK",
                refers,
                "the answer is a schema that refers to others, which is not supported: register it in one piece",
            ),
        ] {
            let (registry, url, request) = server(status, answer);
            let at = format!("cannot read the schema with the id 9 at {url}/schemas/ids/9");
            assert_eq!(told(registry.schema(9)), format!("{at}: {expected}"));
            request.join().unwrap();
        }
        let (registry, _, request) = server("200 OK", r#"{"id": 5000000000}"#);
        assert!(told(registry.id_of("s", "{}")).ends_with("/subjects/s: the answer has no id"));
        request.join().unwrap();
    }

    #[test]
    fn answers_have_limits() {
        let (registry, _, request) = server("200 OK", r#"{"schema": "\"string\""}"#);
        let large = told(registry.with_response_bytes_max(10).schema(9));
        assert!(large.contains("limit"), "{large}");
        request.join().unwrap();
        // Accepts connections, and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let registry = HttpSchemaRegistry::new(&url).unwrap();
        let late = told(registry.with_timeout(Duration::from_millis(20)).schema(9));
        assert!(late.contains("timeout"), "{late}");
    }

    #[test]
    fn urls_are_checked() {
        for (url, expected) in [
            (
                "localhost:8081",
                "begins with http:// or https://, but localhost:8081 does not",
            ),
            (
                "http://me:secret@registry",
                "give name and password to with_basic_auth",
            ),
        ] {
            let told = told(HttpSchemaRegistry::new(url));
            assert!(told.ends_with(expected) && !told.contains("secret"), "{told}");
        }
    }
}

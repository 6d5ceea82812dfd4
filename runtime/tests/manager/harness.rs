//! A manager over loopback, and how to ask it.

use crate::world::{self, LoopbackEnv};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tempfile::TempDir;
use titan_runtime::config::ManagerConfig;
use titan_runtime::manager::{self, ManagerError};
use titan_runtime::store::{
    Embedded, Location, Mode, NewUser, NodeEntry, Nodes as _, PopEntry, Pops as _, Store,
    Users as _,
};
use titan_runtime::token::{Secret, Verifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct Manager {
    pub(crate) data: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) store: Embedded,
    pub(crate) admin: String,
    pub(crate) join: String,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<Result<(), ManagerError>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) kind: String,
    pub(crate) location: Option<String>,
    pub(crate) body: Value,
}

impl Manager {
    pub(crate) async fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), |_| {}).await
    }

    pub(crate) async fn start_with(data: TempDir, change: impl FnOnce(&mut ManagerConfig)) -> Self {
        Self::start_on(data, change, |store| store).await
    }

    /// Starts one whose store is what `wrap` makes of the embedded one.
    pub(crate) async fn start_on<S: Store>(
        data: TempDir,
        change: impl FnOnce(&mut ManagerConfig),
        wrap: impl FnOnce(Embedded) -> S,
    ) -> Self {
        let mut config = ManagerConfig {
            data: data.path().to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            insecure: true,
            ..ManagerConfig::default()
        };
        change(&mut config);
        let location = Location::Data(data.path().to_owned());
        let store = Embedded::open(&location, Mode::Thread).unwrap();
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let running = manager::run(LoopbackEnv, config, wrap(store.clone()), ready, shutdown);
        let task = tokio::spawn(running);
        let address = address.await.unwrap();
        let secret = |file| {
            Secret::load(&data.path().join(file))
                .unwrap()
                .expose()
                .to_owned()
        };
        let admin = secret(manager::ADMIN_TOKEN_FILE);
        let join = secret(manager::JOIN_SECRET_FILE);
        Self {
            data,
            address,
            store,
            admin,
            join,
            stop,
            task,
        }
    }

    /// Makes a token of a role and returns its id and itself.
    pub(crate) async fn token(&self, role: &str) -> (String, String) {
        let made = self
            .post("/v1/tokens", json!({ "name": role, "role": role }))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let text = |name: &str| made.body[name].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    }

    /// Returns the public key by which it signs node tokens.
    pub(crate) fn key(&self) -> String {
        Verifier::load(self.data.path()).unwrap().public_key()
    }

    /// Makes a user without the cost of a password.
    pub(crate) async fn user(&self, name: &str) {
        let user = NewUser::new(name.to_owned(), "$".to_owned(), world::now());
        self.store.create_user(user).await.unwrap();
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        self.data
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        request(stream, method, path, token, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Some(&self.admin), "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(&self.admin), &body.to_string())
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, Some(&self.admin), "").await
    }

    pub(crate) async fn enrol(&self, query: &str) -> Answer {
        let path = format!("/node/pop?{query}");
        self.ask(Method::GET, &path, Some(&self.join), "").await
    }

    pub(crate) async fn register(&self, pop: &str, incarnation: u64) {
        let entry = PopEntry {
            id: pop.to_owned(),
            incarnation,
            nonce: 0,
            url: format!("wss://{pop}.example:41005"),
            info: String::new(),
        };
        self.store.pop_alive(entry, 60).await.unwrap();
    }

    pub(crate) async fn online(&self, node: &str, pop: &str) {
        let node = NodeEntry {
            id: node.to_owned(),
            pop: pop.to_owned(),
            generation: 1,
            ip: "203.0.113.9".parse().unwrap(),
            os: "linux".to_owned(),
            version: "0.1".to_owned(),
            online_since: 1_700_000_000,
            rtt_ms: Some(12),
            contested_at: None,
        };
        self.store.node_online(node).await.unwrap();
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.body["code"]),
            (status, &json!(code)),
            "{self:?}"
        );
        assert_eq!(self.kind, "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("urn:titan:problem:{code}"));
        assert!(self.body["title"].is_string());
    }
}

impl core::fmt::Debug for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {} {}", self.status, self.kind, self.body)
    }
}

pub(crate) async fn request<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Answer {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "manager");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = |name| {
        head.headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    drop(sender);
    let answer = Answer {
        status: head.status,
        kind: text(header::CONTENT_TYPE).unwrap_or_default(),
        location: text(header::LOCATION),
        body: if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body)
                .unwrap_or_else(|_| String::from_utf8(body.to_vec()).unwrap().into())
        },
    };
    // A body that was refused may still be on its way, which ends the connection.
    let _ = connection.await.unwrap();
    answer
}

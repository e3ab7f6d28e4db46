//! A gRPC server with scripted answers, for the answers of Firestore that its emulator never gives.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};

/// The answer to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A gRPC status code and its message.
    Error(i32, &'static str),
    /// Success with one message.
    Message(Vec<u8>),
    /// Success without a message.
    Empty,
}

/// Returns the answer to a request, given its method and its number among the requests of that method, from 1.
type Script = dyn Fn(&str, usize) -> Answer + Send + Sync;

/// The server. It runs until the test's runtime ends.
pub(crate) struct FakeServer {
    pub(crate) host: String,
    methods: Arc<Mutex<Vec<String>>>,
}

impl FakeServer {
    /// Starts a server on a free port.
    pub(crate) async fn start(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let host = listener.local_addr().expect("an address").to_string();
        let methods = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), methods.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, script.clone(), log.clone()));
            }
        });
        Self { host, methods }
    }

    /// Returns the number of requests of a method.
    pub(crate) fn requests(&self, method: &str) -> usize {
        let methods = self.methods.lock().unwrap_or_else(PoisonError::into_inner);
        methods.iter().filter(|of| *of == method).count()
    }
}

async fn serve(socket: TcpStream, script: Arc<Script>, methods: Arc<Mutex<Vec<String>>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let method = request
            .uri()
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let number = {
            let mut methods = methods.lock().unwrap_or_else(PoisonError::into_inner);
            methods.push(method.clone());
            methods.iter().filter(|of| **of == method).count()
        };
        // The client may have closed the connection.
        let _ = send(respond, script(&method, number));
    }
}

fn send(mut respond: SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    let head = Response::builder().header("content-type", "application/grpc");
    let status = |code: i32, message: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(code));
        trailers.insert("grpc-message", HeaderValue::from_static(message));
        trailers
    };
    let message = match answer {
        Answer::Error(code, message) => {
            let mut response = head.body(()).expect("a valid response");
            response.headers_mut().extend(status(code, message));
            respond.send_response(response, true)?;
            return Ok(());
        }
        Answer::Message(message) => Some(message),
        Answer::Empty => None,
    };
    let mut stream = respond.send_response(head.body(()).expect("a valid response"), false)?;
    if let Some(message) = message {
        // A gRPC frame: the compression flag, the length and the message.
        let length = u32::try_from(message.len()).expect("a short message");
        let frame = [&[0], &length.to_be_bytes()[..], &message].concat();
        stream.send_data(frame.into(), false)?;
    }
    stream.send_trailers(status(0, ""))
}

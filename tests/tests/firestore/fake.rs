//! A server that answers requests as a test says: with what Firestore says and its emulator never does.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With an error: a code of gRPC, and words.
    Error(i32, &'static str),
    /// With one message.
    Message(Vec<u8>),
    /// With nothing, which is well.
    Nothing,
}

/// Answers the request of a method, the one of this number, counted from 1.
type Script = dyn Fn(&str, usize) -> Answer + Send + Sync;

pub(crate) struct Fake {
    pub(crate) host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Starts one, for as long as the test lasts.
    pub(crate) async fn start(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), asked.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, script.clone(), log.clone()));
            }
        });
        Self { host, asked }
    }

    /// How often a method was asked for.
    pub(crate) fn asked(&self, method: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|of| *of == method).count()
    }
}

async fn serve(socket: TcpStream, script: Arc<Script>, asked: Arc<Mutex<Vec<String>>>) {
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
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push(method.clone());
            asked.iter().filter(|of| **of == method).count()
        };
        // A client that has gone does not demand to know.
        let _ = answer(respond, script(&method, number));
    }
}

fn answer(mut respond: SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    let head = Response::builder().header("content-type", "application/grpc");
    let finished = |code: i32, words: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(code));
        trailers.insert("grpc-message", HeaderValue::from_static(words));
        trailers
    };
    let message = match answer {
        Answer::Error(code, words) => {
            let mut response = head.body(()).expect("a response");
            response.headers_mut().extend(finished(code, words));
            respond.send_response(response, true)?;
            return Ok(());
        }
        Answer::Message(message) => Some(message),
        Answer::Nothing => None,
    };
    let mut stream = respond.send_response(head.body(()).expect("a response"), false)?;
    if let Some(message) = message {
        // Not compressed, and so long.
        let length = u32::try_from(message.len()).expect("a short message");
        let frame = [&[0], &length.to_be_bytes()[..], &message].concat();
        stream.send_data(frame.into(), false)?;
    }
    stream.send_trailers(finished(0, ""))
}

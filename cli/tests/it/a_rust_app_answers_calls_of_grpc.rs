//! A user's own gRPC service (the example `own_grpc`) answers unary and streaming calls, by its own messages.

use crate::apps;
use crate::support::Server;
use crate::support::http2::{Frame, Http2, block, request};
use nix::sys::signal::Signal;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn framed(text: &str) -> Vec<u8> {
    let bytes = Text { text: text.to_string() }.encode_to_vec();
    [&[0, 0, 0, 0, bytes.len() as u8], &bytes[..]].concat()
}

#[test]
fn it_answers_by_its_own_messages() {
    let mut server = Server::start_command(apps::app("own_grpc").arg("0"));
    let mut http2 = Http2::connect(&server);
    for (stream, method, names, expected, status) in [
        (1, "SayHello", &["Ada"][..], vec!["Hello Ada"], "0"),
        (3, "SayHello", &[""], vec![], "3"),
        (5, "SayHelloBidiStream", &["Ada", "Bob"], vec!["Hello Ada, number 1", "Hello Bob, number 2"], "0"),
        (7, "SayGoodbye", &["Ada"], vec![], "12"),
    ] {
        let path = format!("/helloworld.Greeter/{method}");
        let fields = [&request("POST", &path)[..], &[("content-type", "application/grpc")]].concat();
        let body = names.iter().flat_map(|name| framed(name)).collect::<Vec<u8>>();
        http2.send(&[Frame::headers(stream, false, block(&fields)), Frame::data(stream, true, body)]);
        let answer = http2.answer(stream);
        assert_eq!(answer.body, expected.iter().flat_map(|text| framed(text)).collect::<Vec<u8>>(), "{method}");
        let end = if answer.trailers.is_empty() { &answer.fields } else { &answer.trailers };
        let found = end.iter().find(|(name, _)| name == "grpc-status").map(|(_, value)| &**value);
        assert_eq!(found, Some(status), "{method}");
    }
    assert!(server.get("/").status == 505, "HTTP/1 has no calls");
    drop(http2);
    assert!(server.stop(Signal::SIGTERM).success());
}

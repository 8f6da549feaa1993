//! grpcurl, as a user types it: it finds the services by reflection, calls them, and shows their errors.

use crate::support::Server;
use crate::support::python::grpcurl;

#[test]
fn grpcurl_finds_and_calls_every_service() {
    let server = Server::start(&["--workers", "1"]);
    let address = server.address().to_string();
    let call = |options: &[&str], rest: &[&str]| {
        let (said, errors) = grpcurl(&[&["-plaintext"], options, &[&*address], rest].concat());
        said + &errors
    };
    let services = "echo.EchoService\ngrpc.health.v1.Health\ngrpc.reflection.v1.ServerReflection\n\
                    grpc.reflection.v1alpha.ServerReflection\ngrpc.testing.TestService\n";
    assert_eq!(call(&[], &["list"]), services);
    for (options, rest, expected) in [
        (&[][..], &["list", "echo.EchoService"][..], "echo.EchoService.Echo\necho.EchoService.StreamEcho\n"),
        (&[], &["describe", "echo.EchoService.Echo"], "rpc Echo ( .echo.EchoRequest ) returns ( .echo.EchoResponse );"),
        (&["-d", r#"{"message": "hello"}"#], &["echo.EchoService/Echo"], r#""message": "hello""#),
        (&["-H", "x-a: metadata", "-d", "{}"], &["echo.EchoService/Echo"], r#""x-a": "metadata""#),
        (&["-d", r#"{"message": "a"}{"message": "b"}"#], &["echo.EchoService/StreamEcho"], r#""message": "b""#),
        (&[], &["grpc.health.v1.Health/Check"], r#""status": "SERVING""#),
        (&["-d", r#"{"service": "none"}"#], &["grpc.health.v1.Health/Check"], "Code: NotFound"),
        (&["-d", r#"{"response_code": 14}"#], &["echo.EchoService/Echo"], "Code: Unavailable"),
        (
            &["-max-time", "0.3", "-d", r#"{"response_parameters": {"size": 1, "interval_us": 100000000}}"#],
            &["grpc.testing.TestService/StreamingOutputCall"],
            "Code: DeadlineExceeded",
        ),
    ] {
        let said = call(options, rest);
        assert!(said.contains(expected), "{options:?} {rest:?}: {said}");
    }
}

//! A WebSocket echo as one would write it first, which `scripts/bench websocket` measures beside tine: blocking
//! sockets, a thread for each connection, tungstenite. Prints its address.
use std::io;
use std::net::{TcpListener, TcpStream};
use tungstenite::Error;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || match echo(stream) {
            Ok(()) | Err(Error::ConnectionClosed) => {}
            Err(error) => eprintln!("a connection failed: {error}"),
        });
    }
    Ok(())
}

fn echo(stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream).map_err(|error| io::Error::other(error.to_string()))?;
    loop {
        let message = socket.read()?;
        if message.is_text() || message.is_binary() {
            socket.send(message)?;
        }
    }
}

//! monoio on epoll, one thread, a buffer for each connection, frames cut by hand.

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

async fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (mut buffer, mut rest) = (Vec::with_capacity(4096), Vec::new());
    loop {
        let (outcome, came) = stream.read(buffer).await;
        buffer = came;
        if !matches!(outcome, Ok(1..)) {
            return;
        }
        if !rest.is_empty() {
            rest.extend_from_slice(&buffer);
            std::mem::swap(&mut rest, &mut buffer);
            rest.clear();
        }
        let whole = peers::whole_frames(&buffer);
        rest.extend_from_slice(&buffer[whole..]);
        buffer.truncate(whole);
        let (outcome, sent) = stream.write_all(buffer).await;
        buffer = sent;
        buffer.clear();
        if outcome.is_err() {
            return;
        }
    }
}

fn main() {
    let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new();
    builder.build().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        peers::announce("monoio", listener.local_addr().unwrap());
        while let Ok((stream, _)) = listener.accept().await {
            monoio::spawn(serve(stream));
        }
    });
}

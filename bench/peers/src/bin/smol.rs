//! smol, one thread, a buffer for each connection, frames cut by hand.

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

async fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 4096];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
        let whole = peers::whole_frames(&buffer[..filled]);
        if stream.write_all(&buffer[..whole]).await.is_err() {
            return;
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

fn main() {
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        peers::announce("smol", listener.local_addr().unwrap());
        while let Ok((stream, _)) = listener.accept().await {
            executor.spawn(serve(stream)).detach();
        }
    }));
}

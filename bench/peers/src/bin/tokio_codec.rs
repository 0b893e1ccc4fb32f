//! tokio, one thread, with tokio-util's LengthDelimitedCodec.

use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let codec =
        LengthDelimitedCodec::builder().max_frame_length(peers::FRAME_BYTES_MAX).new_codec();
    let mut framed = Framed::new(stream, codec);
    while let Some(Ok(frame)) = framed.next().await {
        if framed.send(frame.freeze()).await.is_err() {
            return;
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        peers::announce("tokio_codec", listener.local_addr().unwrap());
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream));
        }
    });
}

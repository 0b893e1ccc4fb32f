//! Sessions on readyloop, slow lookups on tokio: `cargo run --example tokio`, then
//! `nc 127.0.0.1 7300`.
//!
//! A handler must not wait. Here it hands each line to an asynchronous task, which answers through
//! a `Remote` when it is done, from its own thread. If the session has ended meanwhile, the answer
//! reaches nobody.

use std::time::Duration;

use readyloop::{Context, Handler, Lines, Peer, Refused, Remote, Server, SessionId};
use tokio::sync::mpsc::{Receiver, Sender, channel};

struct Questions(Sender<(SessionId, String)>);

impl Handler for Questions {
    type Framer = Lines;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Lines, ()) {
        (Lines::new(512), ())
    }

    fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
        let question = String::from_utf8_lossy(line).into_owned();
        if self.0.try_send((context.id(), question)).is_err() {
            context.send(b"too many questions, ask again\n");
        }
    }
}

/// Answers every question after a while; none waits for another.
async fn answer(mut questions: Receiver<(SessionId, String)>, remote: Remote) {
    while let Some((id, question)) = questions.recv().await {
        let remote = remote.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let answer = format!("{question}? let me think: {}\n", question.len());
            while remote.send(id, answer.clone()) == Err(Refused::Full) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().listen("127.0.0.1:7300").stop_on_signals().bind()?;
    let (sender, questions) = channel(1024);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    runtime.spawn(answer(questions, server.remote()));
    server.run(|_thread| Questions(sender.clone()))?;
    Ok(())
}

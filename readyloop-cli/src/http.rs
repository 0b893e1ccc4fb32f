//! The service `http`: HTTP/1.1 for browsers and tools, on the protocol's own handler.
//!
//! It exists to show a protocol with long answers on every topology, and to be measured against
//! servers that people know. It is not a web server: one text, an echo, plain files.
//!
//! Invariant: the answer to any request that is taken fits the send queue of a session that is
//! read, so it never closes a session with `SendFull`.

mod files;
mod site;

use std::sync::Arc;

use readyloop::{Error, Result};
use readyloop_protocols::http::{Http, RequestLimits};

use crate::args::{HttpOptions, Identity};
use crate::serve;
use crate::units::Bytes;

use crate::logged::Logged;
use files::Root;
use site::Site;

/// How it differs from other services.
pub const IDENTITY: Identity = Identity {
    name: "http",
    address: "127.0.0.1:8080",
    max_frame: "The longest body of a request [default: 1MiB]",
};

/// Serves until it is stopped.
pub fn serve(options: &HttpOptions) -> Result<()> {
    let given = &options.server.limits;
    let mut requests = RequestLimits { head_bytes_max: options.max_head.0, ..Default::default() };
    if let Some(body) = given.max_frame {
        requests.body_bytes_max = body.0;
    }
    check_that_a_head_has_room(&requests)?;
    let limits = serve::limits(given, requests.frame_bytes_max());
    let body = requests.body_bytes_max;
    let what = format!("the echo of a body of --max-frame {}", Bytes(body));
    serve::check_that_an_answer_fits(&limits, body.saturating_add(MORE_BYTES), &what)?;
    let root = match &options.root {
        None => None,
        Some(path) => Some(Arc::new(Root::open(path).map_err(|error| {
            Error::settings(format!(
                "--root {} cannot be opened ({error}); name a directory that can be read",
                path.display()
            ))
        })?)),
    };
    serve::serve(&IDENTITY, &options.server, &[], limits, |_remote| {
        move |_thread| Logged(Http::new(Site::new(root.clone()), requests))
    })
}

/// Room in bytes for the head of an answer, and for a piece of a file.
const MORE_BYTES: usize = 128 << 10;

/// The shortest head that a request of a browser could have, in bytes.
const HEAD_BYTES_MIN: usize = 64;

fn check_that_a_head_has_room(requests: &RequestLimits) -> Result<()> {
    if requests.head_bytes_max >= HEAD_BYTES_MIN {
        return Ok(());
    }
    Err(Error::settings(format!(
        "--max-head {} has no room for a request; make it at least {HEAD_BYTES_MIN}",
        Bytes(requests.head_bytes_max)
    )))
}

//! What is sent to the session that is being served, if the reactor encodes it.

use bytes::Bytes;

use crate::buffer::Run;
use crate::command::Command;
use crate::encoder::{Encoding, Form};

use super::Record;

impl Record {
    /// Encodes all that is sent to the session that is being served.
    pub fn set_encoding(&self, encoding: Encoding) -> bool {
        if !self.has_ended() {
            self.run.borrow_mut().standing.form = encoding.form();
            self.ask(Command::SetEncoding(self.serving.get(), encoding));
        }
        !self.has_ended()
    }

    /// A message that the reactor will encode: it waits for the peer with all that it may become.
    pub(super) fn write_to_encode(
        &self,
        run: &mut Run,
        form: Form,
        [first, second]: [&[u8]; 2],
    ) -> bool {
        let bytes = first.len() + second.len();
        let count = form.encoded_bytes_max(bytes);
        let has_room = self.has_room(run, count);
        if has_room {
            self.write(run, self.serving.get(), [first, second, &[]]);
            self.more_waits(run, count - bytes);
        }
        has_room
    }

    /// Sends these bytes as they are, though the session may encode.
    pub fn answer_bare(&self, bytes: &[u8]) -> bool {
        let mut run = self.run.borrow_mut();
        if !matches!(run.standing.form, Form::Stateful(_)) {
            return self.write_own(&mut run, [bytes, &[], &[]]);
        }
        // The reactor encodes what lies on the page.
        let bare = Command::AnswerBare(self.serving.get(), Bytes::copy_from_slice(bytes));
        self.ask_own(&mut run, bytes.len(), bare)
    }

    /// A command that sends so many bytes to the session that is being served.
    fn ask_own(&self, run: &mut Run, count: usize, command: Command) -> bool {
        let has_room = self.has_room(run, count);
        if has_room {
            self.more_waits(run, count);
            run.commands.push(command);
            self.go_on(run);
        }
        has_room
    }

    /// Sends shared bytes to the session that is being served.
    pub fn answer_shared(&self, bytes: Bytes) -> bool {
        let mut run = self.run.borrow_mut();
        // The reactor encodes it, and what that adds waits for the peer too.
        let count = run.standing.form.encoded_bytes_max(bytes.len());
        self.ask_own(&mut run, count, Command::Send(self.serving.get(), bytes))
    }
}

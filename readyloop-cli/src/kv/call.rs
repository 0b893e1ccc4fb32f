//! One command on its way: what was asked, and all that it may touch.

use readyloop::{Context, Now};
use readyloop_protocols::resp::{Arguments, Reply, integer};

use super::client::Client;
use super::fault::{Answer, Fault};
use super::server::Server;
use super::store::Held;
use super::table::Command;

/// What was asked, and where the answer goes.
pub struct Ask<'a> {
    /// The command's entry in the table.
    pub command: &'static Command,
    /// Its arguments, behind its name.
    pub arguments: Arguments<'a>,
    /// The answer.
    pub reply: Reply<'a>,
    /// When it is, on the clock of deadlines.
    pub now: Now,
}

/// What a command may touch.
pub struct Visit<'v, 'c> {
    /// The keys that the table says it works on.
    pub held: Held<'v>,
    /// What all threads share besides.
    pub server: &'v Server,
    /// Who asks.
    pub client: &'v mut Client,
    /// The session of who asks.
    pub context: &'v mut Context<'c>,
}

/// What answers a command.
pub type Run = fn(&mut Ask<'_>, &mut Visit<'_, '_>) -> Answer;

impl<'a> Ask<'a> {
    /// Does it, and answers; one that is refused has answered nothing else.
    #[inline]
    pub fn answer(mut self, visit: &mut Visit<'_, '_>) {
        let before = self.reply.written_bytes();
        if let Err(fault) = (self.command.run)(&mut self, visit) {
            self.refuse(&fault, before);
        }
    }

    #[cold]
    fn refuse(&mut self, fault: &Fault, before: usize) {
        self.reply.truncate(before);
        self.reply.error(fault.text().as_bytes());
    }

    /// The next argument.
    #[inline]
    pub fn argument(&mut self) -> Result<&'a [u8], Fault> {
        self.arguments.next().ok_or_else(|| self.arity())
    }

    /// The next argument, a whole number.
    pub fn integer(&mut self) -> Result<i64, Fault> {
        integer(self.argument()?).ok_or(Fault::NotInteger)
    }

    /// The argument at this place behind the next one, a whole number; nothing is taken.
    pub fn integer_at(&self, place: usize) -> Result<i64, Fault> {
        let argument = self.arguments.clone().nth(place).ok_or_else(|| self.arity())?;
        integer(argument).ok_or(Fault::NotInteger)
    }

    /// There are too few arguments, or too many.
    #[cold]
    pub fn arity(&self) -> Fault {
        Fault::Arity(self.command.name.into())
    }

    /// The same, of a subcommand.
    #[cold]
    pub fn subcommand_arity(&self, name: &str) -> Fault {
        Fault::Arity(format!("{}|{name}", self.command.name).into())
    }

    /// Who writes replies of many values asks after each whether there is room for more.
    #[inline]
    pub fn check_room(&self, visit: &Visit<'_, '_>) -> Answer {
        if self.reply.written_bytes() <= visit.server.bounds.reply_bytes_max {
            return Ok(());
        }
        Err(Fault::ReplyTooLong)
    }

    /// All is said when no argument is left.
    pub fn end(&self, subcommand: &str) -> Answer {
        if self.arguments.len() == 0 { Ok(()) } else { Err(self.subcommand_arity(subcommand)) }
    }
}

//! What an application does for a call, message by message.

use super::{Replies, Status};
use std::time::Instant;
use tine_worker::app::Cx;

/// One call, answered over time. It is dropped when the call ends, its deadline expires, or the client cancels it or leaves.
///
/// Its functions must not block. They are called only while little of what they replied waits to be sent. An error is the
/// status that the call ends with, after the earlier replies.
pub trait Method {
    /// The client's next message, decompressed.
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status>;

    /// The client has sent its last message. To return [`Next::Message`] ends the call, too.
    fn on_end(&mut self, replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        let _ = (replies, cx); // for those that reply at the end
        Ok(Next::End)
    }

    /// Goes on after [`Next::More`], [`Next::NotBefore`] and [`Next::Wait`].
    fn go_on(&mut self, replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        let _ = (replies, cx); // for those that have something to do
        Ok(Next::Message)
    }

    /// The worker drains while the call waits for the client's next message. By default that is waited for, until
    /// `--graceful-timeout` cuts the call.
    fn on_drain(&mut self, replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        let _ = (replies, cx); // for those that end then
        Ok(Next::Message)
    }

    /// Whether the client has to send its message within the server's time limits. If not, a call may rest between messages;
    /// one that has begun has to arrive in time.
    fn is_due(&self) -> bool {
        false
    }
}

/// What a call does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It takes the client's next message, or its end.
    Message,
    /// [`Method::go_on`], once there is room. Messages wait.
    More,
    /// [`Method::go_on`] at this time, or earlier if it is woken. Messages wait.
    NotBefore(Instant),
    /// [`Method::go_on`] when it is woken ([`Cx::waker`], [`Cx::watch`]). Messages wait.
    Wait,
    /// It ends, with the status OK.
    End,
}

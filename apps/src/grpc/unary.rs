//! A call with one message each way; and one that fails whatever is sent.

use super::{Code, Method, Next, Replies, Status};
use prost::Message;
use std::marker::PhantomData;
use tine_worker::app::Cx;

/// Answered when its message comes, and complete when the client's side ends after it.
pub struct Unary<Q, A, F> {
    /// `None`: it has answered.
    answer: Option<F>,
    kinds: PhantomData<fn(Q) -> A>,
}

impl<Q, A, F> Unary<Q, A, F> {
    pub fn new(answer: F) -> Self {
        Unary { answer: Some(answer), kinds: PhantomData }
    }
}

impl<Q, A, F> Method for Unary<Q, A, F>
where
    Q: Message + Default,
    A: Message,
    F: FnOnce(Q, &mut Replies) -> Result<A, Status>,
{
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        let Some(answer) = self.answer.take() else {
            return Err(Status::new(Code::Internal, "a second message in a call that has one"));
        };
        let answer = answer(decode(message)?, replies)?;
        replies.send(&answer)?;
        Ok(Next::Message)
    }

    fn on_end(&mut self, _: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        match self.answer {
            None => Ok(Next::End),
            Some(_) => Err(Status::new(Code::Internal, "the call has no message")),
        }
    }

    fn is_due(&self) -> bool {
        true
    }
}

/// Is never called: the call has its status from the beginning.
pub struct Refused;

impl Method for Refused {
    fn on_message(&mut self, _: &[u8], _: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        Ok(Next::End)
    }
}

/// A message, from what the client sent.
pub fn decode<M: Message + Default>(message: &[u8]) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::new(Code::Internal, format!("the message cannot be decoded: {error}")))
}

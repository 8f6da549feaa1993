//! Makes one large response at a time per worker: each takes a ticket, and tickets are served in order.
//!
//! So the memory of such a response is needed only once, however many clients ask for it. Dropping a ticket, because its
//! client disconnected or its response is made, lets the next one proceed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use tine_worker::app::Waker;

/// The tickets of one worker; clones share the queue.
#[derive(Clone, Default)]
pub struct Tickets(Rc<RefCell<Queue>>);

#[derive(Default)]
struct Queue {
    /// In order; the first is being served.
    waiting: VecDeque<(u64, Waker)>,
    next: u64,
}

impl Tickets {
    /// `waker`: of the exchange, which is woken when it is its turn.
    pub fn take(&self, waker: Waker) -> Ticket {
        let mut queue = self.0.borrow_mut();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back((number, waker));
        Ticket { number, tickets: self.clone() }
    }
}

pub struct Ticket {
    number: u64,
    tickets: Tickets,
}

impl Ticket {
    /// How many tickets are ahead of it; at 0 it is its turn.
    pub fn ahead(&self) -> usize {
        let queue = self.tickets.0.borrow();
        // Numbers ascend from the front to the back.
        queue.waiting.partition_point(|(number, _)| *number < self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let at = self.ahead();
        let mut queue = self.tickets.0.borrow_mut();
        queue.waiting.remove(at);
        if at == 0
            && let Some((_, waker)) = queue.waiting.front()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_served_in_order_and_make_room_when_dropped() {
        let tickets = Tickets::default();
        let [a, b, c, d] = std::array::from_fn(|_| tickets.take(Waker::none()));
        let ahead = |tickets: &[&Ticket]| tickets.iter().map(|ticket| ticket.ahead()).collect::<Vec<_>>();
        assert_eq!(ahead(&[&a, &b, &c, &d]), [0, 1, 2, 3]);
        drop(c);
        assert_eq!(ahead(&[&a, &b, &d]), [0, 1, 2]);
        drop(a);
        let e = tickets.take(Waker::none());
        assert_eq!(ahead(&[&b, &d, &e]), [0, 1, 2]);
        drop((b, d, e));
        assert_eq!(tickets.take(Waker::none()).ahead(), 0);
        assert!(tickets.0.borrow().waiting.is_empty());
    }
}

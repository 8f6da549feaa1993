//! Addresses of hosts, without blocking the worker: getaddrinfo(3), which knows /etc/hosts and nsswitch.conf, runs in
//! threads that exist only while there is something to look up. They touch nothing of the worker but a `Lookup`.

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, SigmaskHow};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Threads at once. Further names wait for one of them, those that need no server included: with 8, a few names whose servers never
/// answer would hold up all others for the 10 s or more that getaddrinfo asks.
const THREADS_MAX: usize = 64;
/// getaddrinfo does not tell for how long an answer holds.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How long an error is believed.
const ERROR_TIME: Duration = Duration::from_secs(1);
const NAMES_MAX: usize = 1000;

pub type Answer = Result<Vec<IpAddr>, String>;

/// One name that is looked up, or was.
pub struct Lookup {
    name: String,
    answer: OnceLock<(Answer, Instant)>,
    /// Written to once there is an answer.
    waiters: Mutex<Vec<Arc<EventFd>>>,
}

impl Lookup {
    /// `None`: not yet.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.get().map(|(answer, _)| answer)
    }

    /// A descriptor that becomes readable when there is an answer.
    pub fn waiter(&self) -> io::Result<Arc<EventFd>> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = Arc::new(EventFd::from_flags(flags).map_err(io::Error::from)?);
        let mut waiters = locked(&self.waiters);
        match self.answer.get() {
            Some(_) => notify(&event),
            None => waiters.push(Arc::clone(&event)),
        }
        Ok(event)
    }

    fn run(&self) {
        self.finish(resolve(&self.name));
    }

    fn finish(&self, answer: Answer) {
        let mut waiters = locked(&self.waiters);
        self.answer.get_or_init(|| (answer, Instant::now()));
        waiters.drain(..).for_each(|waiter| notify(&waiter));
    }

    /// Whether its answer is missing or still holds.
    fn holds(&self) -> bool {
        self.answer
            .get()
            .is_none_or(|(answer, since)| since.elapsed() < if answer.is_ok() { ANSWER_TIME } else { ERROR_TIME })
    }
}

/// Asks the system, and blocks.
pub fn resolve(name: &str) -> Answer {
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|address| address.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        }
        // Its text begins with "failed to lookup address information: ".
        Err(error) => Err(match error.to_string().split_once(": ") {
            Some((_, why)) => format!("{name}: {why}"),
            None => format!("{name}: {error}"),
        }),
    }
}

fn notify(waiter: &EventFd) {
    // An error: its counter is full, so it is readable.
    let _ = waiter.write(1);
}

/// A thread that has panicked has left nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Lookup>>,
    threads: usize,
}

/// The names that a worker has looked up, and its threads.
#[derive(Default)]
pub struct Resolver {
    lookups: RefCell<HashMap<String, Arc<Lookup>>>,
    queue: Arc<Mutex<Queue>>,
}

impl Resolver {
    /// Begins to look up a name, unless that has begun, or its answer still holds.
    pub fn look_up(&self, name: &str) -> Arc<Lookup> {
        let mut lookups = self.lookups.borrow_mut();
        if let Some(lookup) = lookups.get(name).filter(|lookup| lookup.holds()) {
            return Arc::clone(lookup);
        }
        if lookups.len() >= NAMES_MAX {
            lookups.retain(|_, lookup| lookup.holds());
        }
        let lookup = Arc::new(Lookup { name: name.to_string(), answer: OnceLock::new(), waiters: Mutex::default() });
        if lookups.len() >= NAMES_MAX {
            lookup.finish(Err(format!("{name}: too many names are looked up at once")));
            return lookup;
        }
        lookups.insert(name.to_string(), Arc::clone(&lookup));
        self.start(&lookup);
        lookup
    }

    fn start(&self, lookup: &Arc<Lookup>) {
        let mut queue = locked(&self.queue);
        queue.waiting.push_back(Arc::clone(lookup));
        if queue.threads == THREADS_MAX {
            return;
        }
        let shared = Arc::clone(&self.queue);
        // Signals are the worker's: its thread is to be interrupted by them.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let started = std::thread::Builder::new().name("resolver".to_string()).spawn(move || work(&shared));
        if let Ok(mask) = mask {
            // An error: of an argument that is one of three constants.
            let _ = mask.thread_set_mask();
        }
        match started {
            Ok(_) => queue.threads += 1,
            // Another thread will do it.
            Err(_) if queue.threads > 0 => {}
            Err(error) => {
                queue.waiting.clear();
                lookup.finish(Err(format!("{}: no thread to look it up: {error}", lookup.name)));
            }
        }
    }
}

fn work(queue: &Mutex<Queue>) {
    loop {
        let next = {
            let mut queue = locked(queue);
            let next = queue.waiting.pop_front();
            if next.is_none() {
                queue.threads -= 1;
            }
            next
        };
        match next {
            Some(lookup) => lookup.run(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    fn wait(lookup: &Lookup) {
        let event = lookup.waiter().expect("a descriptor");
        let mut polled = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::from(60_000u16)), Ok(1));
    }

    #[test]
    fn a_name_is_looked_up_once_for_all_that_wait() {
        let resolver = Resolver::default();
        let lookup = resolver.look_up("localhost");
        assert!(Arc::ptr_eq(&lookup, &resolver.look_up("localhost")));
        wait(&lookup);
        wait(&lookup);
        let answer = lookup.answer().expect("an answer").clone().expect("localhost is known");
        assert!(answer.iter().all(IpAddr::is_loopback) && !answer.is_empty(), "{answer:?}");
        assert!(Arc::ptr_eq(&lookup, &resolver.look_up("localhost")), "the answer holds");
    }

    #[test]
    fn what_is_not_a_name_is_an_error() {
        let resolver = Resolver::default();
        for name in ["no.such.name.invalid", "", "a b", "\0"] {
            let lookup = resolver.look_up(name);
            wait(&lookup);
            assert!(lookup.answer().is_some_and(Result::is_err), "{name:?}");
        }
    }

    #[test]
    fn more_names_than_threads_are_all_answered() {
        let resolver = Resolver::default();
        let name = |n: usize| format!("127.0.{}.{}", n / 256, n % 256);
        let lookups: Vec<_> = (0..5 * THREADS_MAX).map(|n| resolver.look_up(&name(n))).collect();
        lookups.iter().for_each(|lookup| wait(lookup));
        assert!(lookups.iter().all(|lookup| lookup.answer().is_some_and(Result::is_ok)));
        for _ in 0..1000 {
            if locked(&resolver.queue).threads == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("threads end when there is nothing to look up");
    }
}

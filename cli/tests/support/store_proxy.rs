//! Stands between a server and its store: it passes everything on, and counts, holds or cuts it as a test says.

use super::eventually;
use super::redis::Redis;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub struct StoreProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    store_port: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// No connection lives, and new ones end at once.
    is_cut: bool,
    is_over: bool,
    /// Requests on these connections are held; connections count from 0 in the order in which they came.
    requests_held: Range<usize>,
    /// Answers with this text are held.
    answers_held: Option<String>,
    clients: Vec<TcpStream>,
    open: usize,
    held: usize,
    /// That passed, by connection.
    requests: Vec<usize>,
    /// That passed.
    answers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToStore,
    ToClient,
}

impl StoreProxy {
    pub fn start(redis: &Redis) -> StoreProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { store_port: redis.port(), state: Mutex::default(), changed: Condvar::new() });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.state().is_over {
                    break;
                }
                accepting.clone().pass(client);
            }
        });
        StoreProxy { address, shared }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/limits", self.address)
    }

    /// Connections that have come so far.
    pub fn connections(&self) -> usize {
        self.shared.state().clients.len()
    }

    pub fn open_connections(&self) -> usize {
        self.shared.state().open
    }

    /// From now on requests on these connections, and only those, do not reach the store.
    pub fn hold_requests_of(&self, connections: Range<usize>) {
        self.shared.change(|state| state.requests_held = connections);
    }

    /// From now on answers with this text do not reach their client.
    pub fn hold_answers_with(&self, text: &str) {
        self.shared.change(|state| state.answers_held = Some(text.to_string()));
    }

    /// What is held passes, also if the client has ended meanwhile.
    pub fn release(&self) {
        self.shared.change(|state| (state.requests_held, state.answers_held) = (0..0, None));
    }

    #[track_caller]
    pub fn wait_held(&self) {
        eventually("something is held", || (self.shared.state().held > 0).then_some(()));
    }

    #[track_caller]
    pub fn wait_answers(&self, more: usize) {
        let before = self.shared.state().answers;
        eventually("the store answers", || (self.shared.state().answers >= before + more).then_some(()));
    }

    /// What was held of this connection reaches the store, while requests on later ones are held.
    #[track_caller]
    pub fn release_only(&self, connection: usize) {
        let before = self.shared.state().requests[connection];
        self.hold_requests_of(connection + 1..usize::MAX);
        eventually("it passes", || (self.shared.state().requests[connection] > before).then_some(()));
    }

    /// The network fails.
    pub fn cut(&self) {
        self.shared.change(|state| {
            state.is_cut = true;
            // They may be closed already.
            state.clients.iter().for_each(|client| drop(client.shutdown(Shutdown::Both)));
        });
    }

    pub fn mend(&self) {
        self.shared.change(|state| state.is_cut = false);
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        self.shared.change(|state| state.is_over = true);
        self.cut();
        self.release();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn pass(self: Arc<Shared>, client: TcpStream) {
        let mut state = self.state();
        if state.is_cut {
            return;
        }
        let Ok(store) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.store_port)) else { return };
        let number = state.clients.len();
        let both = [(&client, &store, Way::ToStore), (&store, &client, Way::ToClient)];
        let both =
            both.map(|(from, to, way)| (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"), way));
        state.clients.push(client);
        state.requests.push(0);
        state.open += 1;
        drop(state);
        for (from, to, way) in both {
            let shared = self.clone();
            std::thread::spawn(move || {
                shared.copy(from, &to, way, number);
                // The other thread ends as well; it may have. What the client asked last is answered all the same.
                let _ = to.shutdown(if way == Way::ToStore { Shutdown::Write } else { Shutdown::Both });
                if way == Way::ToStore {
                    shared.change(|state| state.open -= 1);
                }
            });
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: &TcpStream, way: Way, number: usize) {
        let mut bytes = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..count]);
            let is_held = |state: &State| match way {
                Way::ToStore => state.requests_held.contains(&number),
                Way::ToClient => state.answers_held.as_ref().is_some_and(|held| text.contains(held)),
            };
            let mut state = self.state();
            if is_held(&state) {
                state.held += 1;
                state = self.changed.wait_while(state, |state| is_held(state)).expect("no thread panics with it");
                state.held -= 1;
            }
            match way {
                Way::ToStore => state.requests[number] += 1,
                Way::ToClient => state.answers += 1,
            }
            drop(state);
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
    }
}

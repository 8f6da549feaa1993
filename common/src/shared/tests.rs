use super::journal::dying;
use super::*;
use crate::sys::fork::{Fork, fork};
use crate::sys::process;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn reserved(bytes: usize) -> Dictionaries {
    Dictionaries::reserve(bytes).expect("memory")
}

fn dictionary(bytes: usize) -> Dictionary {
    reserved(bytes).open("test", bytes).expect("room")
}

fn text(bytes: &[u8]) -> Item<'_> {
    Item { value: Value::String, bytes, ttl_ms: None, flags: 0 }
}

fn value(value: Value) -> Item<'static> {
    Item { value, bytes: &[], ttl_ms: None, flags: 0 }
}

fn set(dictionary: &Dictionary, key: &[u8], bytes: &[u8]) -> Result<bool, Refused> {
    dictionary.store(Store::Always, key, &text(bytes), true)
}

fn get(dictionary: &Dictionary, key: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (value, _) = dictionary.get(key, &mut bytes).expect("not busy")?;
    assert_eq!(value, Value::String);
    Some(bytes)
}

fn number(dictionary: &Dictionary, key: &[u8]) -> Option<Value> {
    dictionary.get(key, &mut Vec::new()).expect("not busy").map(|(value, _)| value)
}

/// Pseudo-random numbers, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

#[test]
fn names_and_sizes_are_checked_and_the_same_name_is_the_same_dictionary() {
    let all = reserved(64 << 10);
    let one = all.open("one", 16 << 10).expect("room");
    let two = all.open("two", 32 << 10).expect("room");
    set(&one, b"key", b"of one").unwrap();
    assert_eq!(get(&two, b"key"), None);
    assert_eq!(get(&all.open("one", 16 << 10).expect("it is there"), b"key").as_deref(), Some(&b"of one"[..]));
    let long = "x".repeat(101);
    for (name, size, words) in [
        ("one", 32 << 10, "\"one\" has 16K and cannot have 32K before the server is restarted"),
        ("three", 32 << 10, "no room for the shared dictionary \"three\" of 32K: 16K are left of --shared-max"),
        ("", 16 << 10, "1 to 100 bytes, not 0"),
        (&long, 16 << 10, "1 to 100 bytes, not 101"),
        ("small", 1 << 10, "cannot have 1K; give it at least 16K"),
    ] {
        let error = all.open(name, size).err().expect("an error").to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(
        Dictionaries::NONE.open("one", 16 << 10).is_err_and(|error| error.to_string().contains("--shared-max is 0"))
    );
    let many = reserved(DICTIONARIES_MAX * SIZE_BYTES_MIN * 2);
    for number in 0..DICTIONARIES_MAX {
        many.open(&format!("{}{number}", "y".repeat(98)), SIZE_BYTES_MIN).expect("room");
    }
    assert!(many.open("z", SIZE_BYTES_MIN).is_err_and(|error| error.to_string().contains("one more than 64")));
}

#[test]
fn values_come_back_as_they_were_stored() {
    let dictionary = dictionary(1 << 20);
    for length in (0..200).chain([1000, 65_535]) {
        let bytes: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        let key = vec![b'k'; length.max(1)];
        set(&dictionary, &key, &bytes).unwrap();
        assert_eq!(get(&dictionary, &key), Some(bytes), "{length}");
        dictionary.table().check();
    }
    for one in
        [Value::Integer(i64::MIN), Value::Integer(7), Value::Number(-0.5), Value::Boolean(true), Value::Boolean(false)]
    {
        for key in [&b"n"[..], &[b'n'; 300]] {
            dictionary.store(Store::Always, key, &Item { flags: 9, ..value(one) }, true).unwrap();
            assert_eq!(dictionary.get(key, &mut Vec::new()).unwrap(), Some((one, 9)));
        }
    }
    set(&dictionary, b"n", b"now a string").unwrap();
    assert_eq!(get(&dictionary, b"n").as_deref(), Some(&b"now a string"[..]));
    assert_eq!(set(&dictionary, b"", b"x"), Err(Refused::EmptyKey));
    assert_eq!(set(&dictionary, &vec![b'k'; 65_536], b"x"), Err(Refused::KeyTooLong));
    assert_eq!(set(&dictionary, b"large", &vec![0; 1 << 20]), Err(Refused::NoMemory));
    dictionary.table().check();
}

#[test]
fn add_replace_delete_and_incr_depend_on_what_is_there() {
    let dictionary = dictionary(64 << 10);
    let store = |how, key: &[u8], bytes: &[u8]| dictionary.store(how, key, &text(bytes), true);
    assert_eq!(store(Store::Replace, b"a", b"1"), Err(Refused::NotFound));
    assert_eq!(store(Store::Add, b"a", b"1"), Ok(false));
    assert_eq!(store(Store::Add, b"a", b"2"), Err(Refused::Exists));
    assert_eq!(get(&dictionary, b"a").as_deref(), Some(&b"1"[..]));
    assert_eq!(store(Store::Replace, b"a", b"3"), Ok(false));
    assert_eq!((dictionary.delete(b"a"), dictionary.delete(b"a")), (Ok(true), Ok(false)));
    let incr = |key: &[u8], by, init| dictionary.incr(key, by, init, None).map(|(sum, _)| sum);
    assert_eq!(incr(b"n", Value::Integer(1), None), Err(Refused::NotFound));
    assert_eq!(incr(b"n", Value::Integer(1), Some(Value::Integer(10))), Ok(Value::Integer(11)));
    assert_eq!(incr(b"n", Value::Integer(-12), Some(Value::Integer(10))), Ok(Value::Integer(-1)));
    assert_eq!(incr(b"n", Value::Number(0.5), None), Ok(Value::Number(-0.5)));
    store(Store::Always, b"s", b"5").unwrap();
    assert_eq!(incr(b"s", Value::Integer(1), None), Err(Refused::NotANumber));
    dictionary.store(Store::Always, b"m", &value(Value::Integer(i64::MAX)), true).unwrap();
    assert_eq!(incr(b"m", Value::Integer(1), None), Ok(Value::Number(i64::MAX as f64 + 1.0)));
    dictionary.table().check();
}

#[test]
fn the_oldest_are_evicted_and_only_as_many_as_needed() {
    let dictionary = dictionary(16 << 10);
    let key = |number: u64| number.to_string().into_bytes();
    let mut stored = 0;
    while !set(&dictionary, &key(stored), b"0123456789").unwrap() {
        stored += 1;
        // This one is used, and so is never the oldest.
        assert!(get(&dictionary, b"0").is_some());
    }
    assert!(stored > 100, "{stored}");
    assert_eq!((get(&dictionary, b"1"), get(&dictionary, b"0").is_some()), (None, true));
    assert!((2..=stored).all(|number| get(&dictionary, &key(number)).is_some()));
    // All were just read in this order.
    let safe = dictionary.store(Store::Always, b"safe", &text(b"x"), false);
    assert_eq!((safe, get(&dictionary, b"0").is_some()), (Err(Refused::NoMemory), true));
    assert_eq!(set(&dictionary, b"large", &vec![b'x'; 1000]), Ok(true));
    assert_eq!(get(&dictionary, b"2"), None);
    assert!(get(&dictionary, &key(stored)).is_some());
    // As large as all of it.
    assert_eq!(set(&dictionary, b"all", &vec![b'x'; dictionary.capacity_bytes() / 8 * 7 - 64]), Ok(true));
    assert_eq!(dictionary.keys(9), Ok(vec![b"all".to_vec()]));
    dictionary.table().check();
}

#[test]
fn expired_entries_are_as_good_as_none() {
    let dictionary = dictionary(16 << 10);
    let brief = Item { ttl_ms: Some(20), ..text(b"x") };
    dictionary.store(Store::Always, b"a", &brief, true).unwrap();
    dictionary.store(Store::Always, b"b", &brief, true).unwrap();
    dictionary.store(Store::Always, b"c", &brief, true).unwrap();
    dictionary.store(Store::Always, b"d", &Item { ttl_ms: Some(60_000), ..text(b"x") }, true).unwrap();
    set(&dictionary, b"e", b"x").unwrap();
    assert!(dictionary.ttl_ms(b"a").unwrap().is_some_and(|ms| ms <= 20));
    assert!(dictionary.ttl_ms(b"d").unwrap().is_some_and(|ms| (50_000..=60_000).contains(&ms)));
    assert_eq!((dictionary.ttl_ms(b"e"), dictionary.ttl_ms(b"f")), (Ok(None), Err(Refused::NotFound)));
    dictionary.expire(b"c", Some(60_000)).unwrap();
    dictionary.incr(b"n", Value::Integer(1), Some(Value::Integer(0)), Some(1)).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!((get(&dictionary, b"a"), get(&dictionary, b"c").is_some()), (None, true));
    assert_eq!(dictionary.store(Store::Replace, b"b", &brief, true), Err(Refused::NotFound));
    assert_eq!(dictionary.incr(b"n", Value::Integer(1), None, None), Err(Refused::NotFound));
    assert_eq!(dictionary.expire(b"n", None), Err(Refused::NotFound));
    assert_eq!(dictionary.count(), Ok(3));
    dictionary.expire(b"d", Some(0)).unwrap();
    assert_eq!(dictionary.keys(9).unwrap().len(), 2);
    assert_eq!((dictionary.flush_expired(9), dictionary.flush_expired(9)), (Ok(1), Ok(0)));
    dictionary.flush_all().unwrap();
    assert_eq!((dictionary.count(), dictionary.free_bytes()), (Ok(0), Ok(dictionary.capacity_bytes())));
    dictionary.table().check();
}

/// One of all operations, on few keys, so that they meet.
fn random_operation(dictionary: &Dictionary, numbers: &mut Numbers) {
    let key = vec![b'k'; 1 + numbers.below(40) as usize];
    let bytes = vec![key.len() as u8; numbers.below(900) as usize];
    let how = [Store::Always, Store::Add, Store::Replace][numbers.below(3) as usize];
    let ttl_ms = (numbers.below(4) == 0).then(|| numbers.below(2));
    let _ = match numbers.below(12) {
        0..3 => dictionary.store(how, &key, &Item { ttl_ms, ..text(&bytes) }, true).err(),
        3..5 => dictionary.store(how, &key, &Item { ttl_ms, ..value(Value::Integer(4)) }, numbers.below(2) == 0).err(),
        5..7 => dictionary.incr(&key, Value::Integer(1), Some(Value::Integer(0)), ttl_ms).err(),
        7 => dictionary.delete(&key).err(),
        8 => dictionary.expire(&key, ttl_ms).err(),
        9 => dictionary.flush_expired(5).err(),
        10 if numbers.below(50) == 0 => dictionary.flush_all().err(),
        _ => dictionary.get(&key, &mut Vec::new()).err(),
    };
}

/// All live entries with their values; each string is checked to be whole.
fn contents(dictionary: &Dictionary) -> BTreeMap<Vec<u8>, String> {
    let mut all = BTreeMap::new();
    for key in dictionary.keys(usize::MAX).expect("not busy") {
        let mut bytes = Vec::new();
        let (value, _) = dictionary.get(&key, &mut bytes).expect("not busy").expect("its key is there");
        assert!(bytes.iter().all(|&byte| byte == key.len() as u8), "a torn value of {} bytes", key.len());
        all.insert(key, format!("{value:?} {}", bytes.len()));
    }
    all
}

/// A map, which evicts nothing, agrees as long as nothing had to be evicted.
#[test]
fn it_behaves_as_a_map() {
    let (dictionary, mut numbers) = (dictionary(1 << 20), Numbers(1));
    let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for round in 0..20_000 {
        let key = numbers.below(300).to_string().into_bytes();
        match numbers.below(3) {
            0 => assert_eq!(dictionary.delete(&key), Ok(map.remove(&key).is_some())),
            1 => assert_eq!(get(&dictionary, &key), map.get(&key).cloned()),
            _ => {
                let bytes = vec![b'x'; numbers.below(500) as usize];
                assert_eq!(set(&dictionary, &key, &bytes), Ok(false));
                map.insert(key, bytes);
            }
        }
        assert_eq!(dictionary.count(), Ok(map.len()));
        if round % 1000 == 0 {
            dictionary.table().check();
        }
    }
}

/// A process that dies between any two of its stores leaves all that it did, or nothing, and a whole structure.
#[test]
fn an_operation_that_ends_at_any_store_is_done_or_not() {
    type Operation = fn(&Dictionary);
    let operations: [(&str, Operation); 9] = [
        ("a new string", |d| _ = set(d, b"new", &[3; 500])),
        ("a longer string in place", |d| _ = set(d, b"kkkkk", &[5; 700])),
        ("a number in place", |d| _ = d.store(Store::Always, b"kkkkk", &value(Value::Integer(4)), true)),
        ("an increment", |d| _ = d.incr(b"kkk", Value::Number(0.5), None, None)),
        ("a new number", |d| _ = d.incr(b"n", Value::Integer(1), Some(Value::Integer(0)), None)),
        ("a read", |d| _ = d.get(b"kkkkkkk", &mut Vec::new())),
        ("an expiry", |d| _ = d.expire(b"kkkkkkk", Some(60_000))),
        ("a deletion", |d| _ = d.delete(b"kkkkkkk")),
        ("the end of all", |d| _ = d.flush_all()),
    ];
    for (what, operation) in operations {
        let made = || {
            let dictionary = dictionary(16 << 10);
            for length in 1..12 {
                set(&dictionary, &vec![b'k'; length], &vec![length as u8; length * 40]).unwrap();
            }
            dictionary.store(Store::Always, b"kkk", &value(Value::Integer(1)), true).unwrap();
            dictionary.delete(b"kkkk").unwrap();
            dictionary
        };
        let before = contents(&made());
        let done = made();
        operation(&done);
        let after = contents(&done);
        for steps in 0.. {
            let dictionary = made();
            dying::after(Some(steps));
            let ended = catch_unwind(AssertUnwindSafe(|| operation(&dictionary)));
            dying::after(None);
            let found = contents(&dictionary);
            dictionary.table().check();
            assert!(found == before || found == after, "{what} after {steps} stores: {found:?}");
            // The next ones go on with what it has left.
            set(&dictionary, b"x", &[1; 300]).unwrap();
            dictionary.table().check();
            if ended.is_ok() {
                assert!(steps > 0 && found == after, "{what}");
                break;
            }
        }
    }
}

/// The same for a process that dies in the repair.
#[test]
fn a_repair_that_ends_at_any_store_is_done_again() {
    for steps in 0..40 {
        for of_repair in 0..40 {
            let dictionary = dictionary(16 << 10);
            set(&dictionary, b"kkk", &[3; 100]).unwrap();
            set(&dictionary, b"kkkk", &[4; 100]).unwrap();
            for (at, operation) in [
                (steps, &(|| _ = set(&dictionary, b"kkk", &[3; 400])) as &dyn Fn()),
                (of_repair, &|| _ = dictionary.count()),
            ] {
                dying::after(Some(at));
                let _ = catch_unwind(AssertUnwindSafe(operation));
                dying::after(None);
            }
            let found = contents(&dictionary);
            dictionary.table().check();
            assert_eq!(found.len(), 2);
        }
    }
}

fn child(run: impl FnOnce()) -> Pid {
    match fork().expect("a process") {
        Fork::Child(_) => {
            run();
            process::leave(0)
        }
        Fork::Parent(pid) => pid,
    }
}

fn end(pid: Pid) {
    kill(pid, Signal::SIGKILL).expect("it is not reaped yet");
    waitpid(pid, None).expect("a child");
}

#[test]
fn processes_that_are_killed_anywhere_leave_a_whole_dictionary() {
    let dictionary = dictionary(32 << 10);
    let run = |seed: u64| {
        move || {
            let mut numbers = Numbers(seed);
            loop {
                random_operation(&dictionary, &mut numbers);
            }
        }
    };
    let mut numbers = Numbers(5);
    for round in 0..150 {
        let pair = [child(run(round * 2 + 10)), child(run(round * 2 + 11))];
        std::thread::sleep(Duration::from_micros(500 + numbers.below(3000)));
        pair.into_iter().for_each(end);
        contents(&dictionary);
        dictionary.table().check();
    }
}

#[test]
fn increments_of_several_processes_are_exact() {
    let dictionary = dictionary(16 << 10);
    let run = || {
        for number in 0..20_000 {
            dictionary.incr(b"n", Value::Integer(1), Some(Value::Integer(0)), None).expect("not busy");
            set(&dictionary, format!("{}", number % 50).as_bytes(), b"x").expect("not busy");
        }
    };
    let children: Vec<Pid> = (0..4).map(|_| child(run)).collect();
    children.into_iter().for_each(|pid| _ = waitpid(pid, None).expect("a child"));
    assert_eq!(number(&dictionary, b"n"), Some(Value::Integer(80_000)));
    dictionary.table().check();
}

/// As long as it is stopped, others are told that the dictionary is busy, after a bounded wait and then at once.
#[test]
fn a_stopped_owner_keeps_others_out_and_a_killed_one_does_not() {
    let dictionary = dictionary(16 << 10);
    set(&dictionary, b"kkk", &[3; 100]).unwrap();
    for ends_by in [Signal::SIGCONT, Signal::SIGKILL] {
        let owner = child(|| {
            let _guard = dictionary.lock().take();
            let _ = nix::sys::signal::raise(Signal::SIGSTOP);
        });
        waitpid(owner, Some(WaitPidFlag::WUNTRACED)).expect("it stops");
        assert_eq!(dictionary.get(b"kkk", &mut Vec::new()), Err(Refused::Busy));
        let since = Instant::now();
        for _ in 0..100 {
            assert_eq!(dictionary.incr(b"n", Value::Integer(1), None, None), Err(Refused::Busy));
        }
        assert!(since.elapsed() < Duration::from_secs(5), "only the first has waited: {:?}", since.elapsed());
        kill(owner, ends_by).expect("a child");
        waitpid(owner, None).expect("a child");
        assert_eq!(get(&dictionary, b"kkk").as_deref(), Some(&[3; 100][..]), "{ends_by}");
        dictionary.table().check();
    }
}

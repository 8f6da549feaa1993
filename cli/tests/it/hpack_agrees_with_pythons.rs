//! HPACK (RFC 7541) as PyPI's hpack understands it, in both directions: two tables that have to stay alike over many blocks, through
//! changes of their sizes, evictions and Huffman coding.

use crate::support::python::run_python;
use crate::support::scratch_folder;
use serde_json::{Value, json};
use tine_worker::hpack::{Block, Bounds, Decoder, Encoder};

const BLOCKS: usize = 400;
const SEED: u64 = 7541;
/// Names with an index, and others; few, so that tables are used.
const NAMES: [&str; 10] = [
    "content-type",
    "cache-control",
    "date",
    "set-cookie",
    "server",
    "x-a",
    "x-request-id",
    "etag",
    "vary",
    "grpc-status",
];

type Fields = Vec<(String, String)>;

/// A new size of the table, for some of the blocks.
fn table_bytes(random: &mut fastrand::Rng) -> Option<usize> {
    let sizes = [0, 33, 64, 300, 1000, 4096];
    (random.u8(..) < 30).then(|| sizes[random.usize(..sizes.len())])
}

/// Values repeat often; the others have bytes of any kind, in which Huffman coding is shorter or is not.
fn fields(random: &mut fastrand::Rng) -> Fields {
    let value = |random: &mut fastrand::Rng| match random.u8(..4) {
        0 => "text/plain; charset=utf-8".to_string(),
        1 => random.u16(..20).to_string(),
        2 => (0..random.usize(..80)).map(|_| random.char('a'..='z')).collect(),
        _ => (0..random.usize(..200)).map(|_| random.char('\u{20}'..='\u{ff}')).collect(),
    };
    (0..random.usize(..12)).map(|_| (NAMES[random.usize(..NAMES.len())].to_string(), value(random))).collect()
}

/// The characters of Latin-1 are the bytes.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).expect("Latin-1")).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[test]
fn each_decodes_what_the_other_encodes() {
    let random = &mut fastrand::Rng::with_seed(SEED);
    let mut encoder = Encoder::new();
    let (mut to_decode, mut to_encode) = (Vec::new(), Vec::new());
    let (mut ours, mut theirs): (Vec<Fields>, Vec<Fields>) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let (table_bytes, fields) = (table_bytes(random), fields(random));
        let mut block = Vec::new();
        table_bytes.into_iter().for_each(|bytes| encoder.set_table_size(bytes));
        encoder.begin(&mut block);
        encoder.status(200, &mut block);
        fields.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), &bytes(value), &mut block));
        to_decode.push(json!([table_bytes, data_encoding::HEXLOWER.encode(&block)]));
        ours.push([vec![(":status".to_string(), "200".to_string())], fields].concat());
    }
    for _ in 0..BLOCKS {
        let (table_bytes, fields) = (table_bytes(random), fields(random));
        let marked: Vec<_> = fields.iter().map(|(name, value)| json!([name, value, random.u8(..) < 30])).collect();
        to_encode.push(json!([table_bytes, random.bool(), marked]));
        theirs.push(fields);
    }
    let folder = scratch_folder();
    let file = folder.join("blocks.json");
    std::fs::write(&file, json!({ "decode": to_decode, "encode": to_encode }).to_string()).expect("a file");
    let answer = run_python("hpack_both_ways.py", &[file.to_str().expect("UTF-8")]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let decoded: Vec<Fields> = serde_json::from_value(answer["decoded"].clone()).expect("fields");
    for (at, (decoded, ours)) in decoded.iter().zip(&ours).enumerate() {
        assert_eq!(decoded, ours, "block {at}");
    }
    let encoded: Vec<String> = serde_json::from_value(answer["encoded"].clone()).expect("blocks");
    assert_eq!((decoded.len(), encoded.len()), (BLOCKS, BLOCKS));
    let (mut decoder, mut block) = (Decoder::new(), Block::default());
    for (at, (encoded, theirs)) in encoded.iter().zip(&theirs).enumerate() {
        let encoded = data_encoding::HEXLOWER.decode(encoded.as_bytes()).expect("hex");
        let decoded = decoder.decode(&encoded, Bounds { bytes_max: 1 << 20, fields_max: 100 }, &mut block);
        assert_eq!(decoded, Ok(()), "block {at}");
        let decoded: Fields = block.iter().map(|(name, value)| (text(name), text(value))).collect();
        assert_eq!(&decoded, theirs, "block {at}");
    }
    std::fs::remove_dir_all(folder).expect("its own folder");
}

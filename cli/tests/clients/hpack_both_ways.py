"""HPACK of PyPI's hpack, for a test that compares it with ours.

    hpack_both_ways.py FILE

FILE is JSON. "decode": blocks in hex, each with the size that the decoder allows a table from then on, or null. "encode": lists of
fields, each with the size of the encoder's table from then on, or null, and whether Huffman coding is used; a field has a name, a
value, and whether it may be indexed by nobody. Bytes are the characters of Latin-1. Prints the same JSON, decoded and encoded.
"""
import json
import sys

import hpack


def main():
    with open(sys.argv[1]) as file:
        asked = json.load(file)
    decoder = hpack.Decoder(max_header_list_size=1 << 20)
    decoded = []
    for table_bytes, block in asked['decode']:
        if table_bytes is not None:
            decoder.max_allowed_table_size = table_bytes
        fields = decoder.decode(bytes.fromhex(block), raw=True)
        decoded.append([[name.decode('latin-1'), value.decode('latin-1')] for name, value in fields])
    encoder = hpack.Encoder()
    encoded = []
    for table_bytes, huffman, fields in asked['encode']:
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        fields = [(name.encode('latin-1'), value.encode('latin-1'), secret) for name, value, secret in fields]
        encoded.append(encoder.encode(fields, huffman=huffman).hex())
    json.dump({'decoded': decoded, 'encoded': encoded}, sys.stdout)


main()

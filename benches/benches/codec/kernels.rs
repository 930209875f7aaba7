//! The loops over payloads by themselves, beside the lower bound of their cost.

use std::hint::black_box;

use criterion::Criterion;
use ws_core::frame::apply_mask;

use crate::support::{Group, Shape, per_message};

pub(crate) fn mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for (name, len, count) in [("20", 20, 64), ("125", 125, 64), ("16K", 16 << 10, 1), ("1M", 1 << 20, 1)] {
        over_payloads(&mut group, name, "core", len, count, apply_mask);
        over_payloads(&mut group, name, "naive", len, count, |payload, key| {
            for (at, byte) in payload.iter_mut().enumerate() {
                *byte ^= key[at & 3];
            }
        });
        // XOR with one byte, independent of positions, as the compiler vectorises it for any processor.
        over_payloads(&mut group, name, "xor", len, count, |payload, [key, ..]| {
            payload.iter_mut().for_each(|byte| *byte ^= key);
        });
        let source = vec![0xA5; len];
        over_payloads(&mut group, name, "copy", len, count, |payload, _| payload.copy_from_slice(&source));
    }
}

/// Processes `count` payloads in turn, so that no round waits for the result of the previous one.
fn over_payloads(
    group: &mut Group<'_>,
    name: &str,
    subject: &str,
    len: usize,
    count: usize,
    work: impl Fn(&mut [u8], [u8; 4]),
) {
    let mut buffer = vec![0x5A; len * count];
    per_message(group, name, subject, count, || {
        for payload in black_box(&mut buffer).chunks_exact_mut(black_box(len)) {
            work(payload, black_box([0x35, 0x5A, 0x11, 0x6C]));
        }
    });
}

pub(crate) fn utf8(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    for shape in [
        Shape::ascii("20", 20, 64),
        Shape::ascii("125", 125, 64),
        Shape::ascii("16K", 16 << 10, 1),
        Shape::mixed("16K-mixed", 16 << 10),
        Shape::ascii("1M", 1 << 20, 1),
        Shape::mixed("1M-mixed", 1 << 20),
    ] {
        let text = shape.payload.repeat(shape.count);
        let len = shape.payload.len();
        per_message(&mut group, shape.name, "std", shape.count, || {
            for payload in black_box(&text).chunks_exact(black_box(len)) {
                black_box(std::str::from_utf8(payload).unwrap());
            }
        });
        per_message(&mut group, shape.name, "simdutf8", shape.count, || {
            for payload in black_box(&text).chunks_exact(black_box(len)) {
                black_box(simdutf8::basic::from_utf8(payload).unwrap());
            }
        });
    }
}

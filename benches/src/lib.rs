//! Benchmarks of this workspace's crates beside other implementations. See the README.

pub mod frames;
pub mod process;
pub mod server;

/// Returns about 16 KiB of JSON-like text for the compression benches.
pub fn json() -> String {
    let mut text = String::from("[");
    for id in 0_u32.. {
        if text.len() > 16_300 {
            break;
        }
        let noise = id.wrapping_mul(2_654_435_761);
        text.push_str(&format!(
            "{{\"id\":{id},\"name\":\"user-{noise:08x}\",\"active\":{},\"score\":{}.{}}},",
            noise % 2 == 0,
            noise % 1000,
            noise % 97
        ));
    }
    text + "{}]"
}

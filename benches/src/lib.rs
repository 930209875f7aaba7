//! Benchmarks of the workspace's crates beside other implementations; see the README.

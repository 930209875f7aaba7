#![forbid(unsafe_code)]
//! The programs stand in the folder `examples`. The page `docs/migrating-from-tungstenite.md` prints them beside the
//! concepts that they show.

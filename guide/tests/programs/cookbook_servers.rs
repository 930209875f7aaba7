//! The programs of the cookbook about servers, ports 9130 to 9169.

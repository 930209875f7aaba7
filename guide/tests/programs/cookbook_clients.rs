//! The programs of the cookbook about clients, operation and migration, ports 9170 to 9209.

//! A small ZooKeeper client for the shell, tools and tests.

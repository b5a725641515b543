//! HTTP commands and metrics endpoint.

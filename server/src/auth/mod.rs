//! TLS contexts, keystores, SASL mechanisms.

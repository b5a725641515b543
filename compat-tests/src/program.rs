//! Clients of other languages as child processes, whose transcripts are compared.

//! Client listeners, connections, handshake, admission, four-letter words.

//! Four-letter words: which bytes are one, and what each answers.

use super::view::ServerView;

/// What a word needs to be answered.
pub struct Call<'a> {
    /// The four bytes.
    pub word: [u8; 4],
    /// Bytes that followed them on the connection (`stmk` needs 8).
    pub rest: &'a [u8],
    /// The server.
    pub view: &'a dyn ServerView,
}

/// Answers four-letter words. One per server; built from the configuration, which holds the
/// whitelist and what `conf` and `envi` print.
pub trait Responder: Send + Sync {
    /// How many bytes behind the word the command needs (`stmk`: 8); `None` if `word` is no
    /// command, so that the bytes are a frame length.
    fn needs(&self, word: [u8; 4]) -> Option<usize>;
    /// The whole answer; the connection is closed after it.
    fn answer(&self, call: Call<'_>) -> Vec<u8>;
}

/// Knows no words: every connection starts with a frame.
#[derive(Debug, Default)]
pub struct NoWords;

impl Responder for NoWords {
    fn needs(&self, _word: [u8; 4]) -> Option<usize> {
        None
    }

    fn answer(&self, _call: Call<'_>) -> Vec<u8> {
        Vec::new()
    }
}

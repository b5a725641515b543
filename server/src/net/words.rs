//! The thread that answers four-letter words, so that a long dump stops no connection. It lives
//! only while there is something to answer, plus a little.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::Word;
use super::fourlw::{Call, Responder};
use super::station::{Inbox, Mail};
use super::view::ServerView;

/// How long the thread waits for another word before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Gives words to a thread.
pub(super) struct WordDesk {
    clerk: Arc<Clerk>,
    /// Unbounded: one word per connection at most.
    ask: Sender<Word>,
    asked: Receiver<Word>,
    /// True while a thread serves the channel.
    running: Arc<Mutex<bool>>,
}

struct Clerk {
    responder: Arc<dyn Responder>,
    view: Arc<dyn ServerView>,
    inboxes: Vec<Arc<Inbox>>,
}

impl WordDesk {
    pub fn new(
        responder: Arc<dyn Responder>,
        view: Arc<dyn ServerView>,
        inboxes: Vec<Arc<Inbox>>,
    ) -> Self {
        let (ask, asked) = unbounded();
        Self {
            clerk: Arc::new(Clerk { responder, view, inboxes }),
            ask,
            asked,
            running: Arc::default(),
        }
    }

    /// Has a word answered; the answer comes as mail of the connection's station.
    pub fn ask(&self, word: Word) {
        if self.ask.send(word).is_err() {
            unreachable!("the desk holds a receiver");
        }
        let mut running = self.running.lock();
        if *running {
            return;
        }
        let (clerk, asked, flag) = (self.clerk.clone(), self.asked.clone(), self.running.clone());
        let thread = std::thread::Builder::new().name("fourlw".into()).spawn(move || {
            clerk.serve(&asked, &flag);
        });
        match thread {
            Ok(_) => *running = true,
            Err(error) => warn!(%error, "cannot answer a four-letter word"),
        }
    }
}

impl Clerk {
    fn serve(&self, asked: &Receiver<Word>, running: &Mutex<bool>) {
        loop {
            while let Ok(word) = asked.recv_timeout(IDLE) {
                self.answer(word);
            }
            // Under the lock, so that no word is left behind between the last look and the end.
            let mut running = running.lock();
            if asked.is_empty() {
                *running = false;
                return;
            }
        }
    }

    fn answer(&self, asked: Word) {
        let Word { word, rest, place } = asked;
        info!(word = %String::from_utf8_lossy(&word), "processing a four-letter word");
        let answer = self.responder.answer(Call { word, rest: &rest, view: &*self.view });
        self.inboxes[usize::from(place.station)].post(Mail::Word(place, answer));
    }
}

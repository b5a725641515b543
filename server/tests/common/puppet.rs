//! A peer without a server behind it: it wins the election against the one voter beside it, whose
//! learner then hears on the quorum port exactly what a test says, byte for byte.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jute::Encode;
use jute::quorum::{
    InitialMessage, NotificationRecord, PROTOCOL_VERSION, QuorumPacket, SNAPSHOT_SIGNATURE, kind,
};
use jute::txn::{DIGEST_VERSION, Txn, TxnDigest, TxnHeader};
use rookeeper::base::{Epoch, Proposal, Zxid};
use rookeeper::storage::snapshot::codec::{encode_end, encode_tables};
use rookeeper::tree::DataTree;
use rookeeper::tree::cut::CutLimits;
use rookeeper::zab::Packet;

use super::members::Members;
use super::ports::free_port;

/// How long the server may take for an answer: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Server 2 of two, beside a real server 1.
pub struct Puppet {
    /// The lines of both.
    pub lines: String,
    election: u16,
    listener: TcpListener,
}

/// What the learner at the other end of the quorum port says and hears.
pub struct Learner {
    pub stream: TcpStream,
    /// Of FOLLOWERINFO or OBSERVERINFO.
    pub hello: Packet,
    _votes: JoinHandle<()>,
}

impl Puppet {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let election = free_port();
        let lines = format!(
            "server.1=127.0.0.1:{}:{election}:participant\nserver.2=127.0.0.1:{port}:{}:participant\n",
            free_port(),
            free_port()
        );
        Self { lines, election, listener }
    }

    /// A directory for server 1, not started yet.
    pub fn members(&self, settings: &str) -> Members {
        Members::with_lines(1, &self.lines, |_| settings.to_owned())
    }

    /// Wins an election and lets server 1 connect.
    pub fn lead(&self, epoch: i64) -> Learner {
        // The larger sid dials, and its connection stays.
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", self.election)) {
                Ok(stream) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let hello = InitialMessage { sid: 2, addresses: vec!["127.0.0.1:1".into()] };
        (&stream).write_all(&hello.to_bytes(false)).unwrap();
        let votes = std::thread::spawn(move || vote_for_ourselves(&stream, epoch));
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut learner = Learner { stream, hello: Packet::UpToDate, _votes: votes };
        learner.hello = learner.hears();
        learner
    }
}

/// Answers every vote of a looking server in its own round, until it hangs up.
fn vote_for_ourselves(mut stream: &TcpStream, epoch: i64) {
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut frame).is_err() {
            return;
        }
        let theirs = NotificationRecord::from_bytes(&frame).unwrap();
        if theirs.state != 0 {
            continue;
        }
        let ours = NotificationRecord {
            state: 0,
            leader: 2,
            zxid: i64::MAX >> 8,
            election_epoch: theirs.election_epoch,
            peer_epoch: epoch,
            version: 2,
            config: theirs.config,
        };
        let bytes = ours.to_bytes();
        let mut out = (bytes.len() as i32).to_be_bytes().to_vec();
        out.extend(bytes);
        if stream.write_all(&out).is_err() {
            return;
        }
    }
}

impl Learner {
    pub fn say(&mut self, packet: &Packet) {
        self.send(&packet.to_wire().to_vec());
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The learner's next packet.
    pub fn hears(&mut self) -> Packet {
        Packet::from_wire(self.hears_raw(), true).unwrap()
    }

    /// The learner's next packet as it is.
    pub fn hears_raw(&mut self) -> QuorumPacket {
        let kind = self.int();
        let zxid = i64::from_be_bytes(self.bytes(8).try_into().unwrap());
        let data = self.buffer();
        let mut authinfo = None;
        for _ in 0..self.int() {
            let scheme = self.buffer().map(|b| String::from_utf8(b).unwrap());
            let id = self.buffer().map(|b| String::from_utf8(b).unwrap());
            authinfo.get_or_insert_with(Vec::new).push(jute::data::Id { scheme, id });
        }
        QuorumPacket { kind, zxid, data: data.map(Into::into), authinfo }
    }

    /// The next packet that is no PING.
    pub fn answer(&mut self) -> Packet {
        loop {
            match self.hears() {
                Packet::Ping { .. } => {}
                packet => return packet,
            }
        }
    }

    /// LEADERINFO and what is answered.
    pub fn discover(&mut self, epoch: i64) -> Packet {
        let packet = QuorumPacket {
            kind: kind::LEADERINFO,
            zxid: epoch << 32,
            data: Some(PROTOCOL_VERSION.to_be_bytes().to_vec().into()),
            authinfo: None,
        };
        self.send(&packet.to_vec());
        self.answer()
    }

    /// SNAP and the tree, as if it were at `zxid`.
    pub fn snapshot(&mut self, zxid: Zxid, tree: &mut DataTree) {
        let mut out = Packet::Snap(zxid).to_wire().to_vec();
        let mut cut = tree.open_cut(CutLimits::default()).unwrap();
        encode_tables(cut.sessions(), cut.acls(), &mut out);
        while cut.next_batch_of(tree, &mut out).unwrap() {}
        encode_end(&mut out);
        SNAPSHOT_SIGNATURE.encode(&mut out);
        self.send(&out);
    }

    /// PROPOSAL and COMMIT.
    pub fn commit(&mut self, proposal: &Arc<Proposal>) {
        self.say(&Packet::Proposal(proposal.clone()));
        self.say(&Packet::Commit(proposal.zxid()));
    }

    /// NEWLEADER, its ACK, UPTODATE, its ACK.
    pub fn establish(&mut self, epoch: i64) {
        let epoch = Epoch(epoch);
        self.say(&Packet::NewLeader { epoch, config: None });
        assert_eq!(self.answer(), Packet::Ack(Zxid::new(epoch, 0)), "to NEWLEADER");
        self.say(&Packet::UpToDate);
        assert_eq!(self.answer(), Packet::Ack(Zxid::new(epoch, 0)), "to UPTODATE");
    }

    fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn buffer(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.int()).ok()?;
        Some(self.bytes(length))
    }
}

/// The transactions of a leader, with the digests of its tree.
pub struct Story {
    pub tree: DataTree,
}

impl Story {
    pub fn new() -> Self {
        Self { tree: DataTree::new(rookeeper::tree::TreeOptions::default()) }
    }

    /// The next transaction.
    pub fn next(&mut self, zxid: Zxid, kind: i32, txn: Txn) -> Arc<Proposal> {
        let header =
            TxnHeader { client_id: 7, cxid: 1, zxid: zxid.0, time: 1_700_000_000_000, kind };
        let bare = Proposal::encode(header.clone(), txn.clone(), None);
        assert_eq!(self.tree.apply(&bare, &mut |_| {}).err, 0);
        let tree_digest = self.tree.digest();
        let digest = Some(TxnDigest { version: DIGEST_VERSION, tree_digest });
        Arc::new(Proposal::encode(header, txn, digest))
    }
}

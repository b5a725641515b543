//! Error codes a client can see (`KeeperException.Code`). No others may ever be sent: a Java client
//! throws on an unknown code.

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $java:literal;)*) => {
        /// A `KeeperException` code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode { $($(#[$meta])* $name,)* }

        impl ErrorCode {
            /// The number on the wire.
            pub fn code(self) -> i32 {
                match self { $(Self::$name => $code,)* }
            }

            /// The code for a number, if there is one.
            pub fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The name in Java's enum.
            pub fn java_name(self) -> &'static str {
                match self { $(Self::$name => $java,)* }
            }
        }
    };
}

codes! {
    Ok = 0, "OK";
    SystemError = -1, "SYSTEMERROR";
    /// Operations of a multi behind the one that failed.
    RuntimeInconsistency = -2, "RUNTIMEINCONSISTENCY";
    DataInconsistency = -3, "DATAINCONSISTENCY";
    ConnectionLoss = -4, "CONNECTIONLOSS";
    MarshallingError = -5, "MARSHALLINGERROR";
    Unimplemented = -6, "UNIMPLEMENTED";
    OperationTimeout = -7, "OPERATIONTIMEOUT";
    BadArguments = -8, "BADARGUMENTS";
    UnknownSession = -12, "UNKNOWNSESSION";
    NewConfigNoQuorum = -13, "NEWCONFIGNOQUORUM";
    ReconfigInProgress = -14, "RECONFIGINPROGRESS";
    ApiError = -100, "APIERROR";
    NoNode = -101, "NONODE";
    NoAuth = -102, "NOAUTH";
    BadVersion = -103, "BADVERSION";
    NoChildrenForEphemerals = -108, "NOCHILDRENFOREPHEMERALS";
    NodeExists = -110, "NODEEXISTS";
    NotEmpty = -111, "NOTEMPTY";
    SessionExpired = -112, "SESSIONEXPIRED";
    InvalidCallback = -113, "INVALIDCALLBACK";
    InvalidAcl = -114, "INVALIDACL";
    AuthFailed = -115, "AUTHFAILED";
    /// Never reaches a client: the connection is closed instead.
    SessionMoved = -118, "SESSIONMOVED";
    NotReadOnly = -119, "NOTREADONLY";
    EphemeralOnLocalSession = -120, "EPHEMERALONLOCALSESSION";
    NoWatcher = -121, "NOWATCHER";
    RequestTimeout = -122, "REQUESTTIMEOUT";
    ReconfigDisabled = -123, "RECONFIGDISABLED";
    SessionClosedRequireSaslAuth = -124, "SESSIONCLOSEDREQUIRESASLAUTH";
    QuotaExceeded = -125, "QUOTAEXCEEDED";
    ThrottledOp = -127, "THROTTLEDOP";
}

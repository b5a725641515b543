//! What went wrong with a command, in the shell's words (`CliException` and its kinds).

use crate::base::ErrorCode;

/// A text for stderr and an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CliError {
    pub text: String,
    pub code: i32,
    /// What the server, or the client in its place, refused with.
    pub keeper: Option<ErrorCode>,
}

impl CliError {
    /// Exit code 1.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1, keeper: None }
    }

    /// A refusal of the server, about `path` (`CliWrapperException`).
    pub(super) fn keeper(error: ErrorCode, path: &str) -> Self {
        let about = |text: &str| format!("{text}: {path}");
        let text = match error {
            ErrorCode::NoNode => about("Node does not exist"),
            ErrorCode::NoChildrenForEphemerals => about("Ephemerals cannot have children"),
            ErrorCode::NodeExists => about("Node already exists"),
            ErrorCode::NotEmpty => about("Node not empty"),
            ErrorCode::NotReadOnly => about("Not a read-only call"),
            ErrorCode::InvalidAcl => about("Acl is not valid "),
            ErrorCode::NoAuth => about("Insufficient permission "),
            ErrorCode::BadArguments => about("Arguments are not valid "),
            ErrorCode::BadVersion => about("version No is not valid "),
            ErrorCode::QuotaExceeded => about("Quota has exceeded "),
            ErrorCode::ReconfigInProgress => {
                "Another reconfiguration is in progress -- concurrent reconfigs not supported (yet)"
                    .to_owned()
            }
            ErrorCode::NewConfigNoQuorum => "No quorum of new config is connected and up-to-date \
                with the leader of last commmitted config - try invoking reconfiguration after new \
                servers are connected and synced"
                .to_owned(),
            other => message_about(other, Some(path).filter(|path| !path.is_empty())),
        };
        Self { keeper: Some(error), ..Self::new(text) }
    }
}

/// `KeeperException.getMessage`.
pub(super) fn message_about(error: ErrorCode, path: Option<&str>) -> String {
    let text = format!("KeeperErrorCode = {}", message(error));
    match path {
        Some(path) => format!("{text} for {path}"),
        None => text,
    }
}

/// `KeeperException.getCodeMessage`.
fn message(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::SystemError => "SystemError",
        ErrorCode::RuntimeInconsistency => "RuntimeInconsistency",
        ErrorCode::DataInconsistency => "DataInconsistency",
        ErrorCode::ConnectionLoss => "ConnectionLoss",
        ErrorCode::MarshallingError => "MarshallingError",
        ErrorCode::Unimplemented => "Unimplemented",
        ErrorCode::OperationTimeout => "OperationTimeout",
        ErrorCode::ApiError => "APIError",
        ErrorCode::AuthFailed => "AuthFailed",
        ErrorCode::SessionExpired => "Session expired",
        ErrorCode::InvalidCallback => "Invalid callback",
        ErrorCode::SessionMoved => "Session moved",
        ErrorCode::EphemeralOnLocalSession => "Ephemeral node on local session",
        ErrorCode::NoWatcher => "No such watcher",
        ErrorCode::ReconfigDisabled => "Reconfig is disabled",
        ErrorCode::SessionClosedRequireSaslAuth => {
            "Session closed because client failed to authenticate"
        }
        ErrorCode::ThrottledOp => "Op throttled due to high load",
        ErrorCode::Ok => "ok",
        ErrorCode::NewConfigNoQuorum => "NewConfigNoQuorum",
        ErrorCode::ReconfigInProgress => "ReconfigInProgress",
        ErrorCode::BadArguments => "BadArguments",
        ErrorCode::NoNode => "NoNode",
        ErrorCode::NoAuth => "NoAuth",
        ErrorCode::BadVersion => "BadVersion",
        ErrorCode::NoChildrenForEphemerals => "NoChildrenForEphemerals",
        ErrorCode::NodeExists => "NodeExists",
        ErrorCode::InvalidAcl => "InvalidACL",
        ErrorCode::NotEmpty => "Directory not empty",
        ErrorCode::NotReadOnly => "Not a read-only call",
        ErrorCode::QuotaExceeded => "Quota has exceeded",
        ErrorCode::UnknownSession => "Unknown error UNKNOWNSESSION",
        ErrorCode::RequestTimeout => "Unknown error REQUESTTIMEOUT",
    }
}

/// `PathUtils.validatePath`.
pub(super) fn check_path(path: &str) -> Result<(), CliError> {
    let wrong = |text: String| Err(CliError::new(text));
    if path.is_empty() {
        return wrong("Path length must be > 0".to_owned());
    }
    if !path.starts_with('/') {
        return wrong("Path must start with / character".to_owned());
    }
    if path == "/" {
        return Ok(());
    }
    if path.ends_with('/') {
        return wrong("Path must not end with / character".to_owned());
    }
    let mut at = 1;
    for part in path[1..].split('/') {
        let reason = match part {
            "" => Some(format!("empty node name specified @{at}")),
            "." | ".." => Some(format!("relative paths not allowed @{}", at + part.len() - 1)),
            part if part.contains('\0') => Some(format!("null character not allowed @{at}")),
            part => part
                .find(|c: char| {
                    c < ' '
                        || ('\u{7f}'..='\u{9f}').contains(&c)
                        || ('\u{fff0}'..='\u{ffff}').contains(&c)
                })
                .map(|offset| format!("invalid character @{}", at + offset)),
        };
        if let Some(reason) = reason {
            return wrong(format!("Invalid path string \"{path}\" caused by {reason}"));
        }
        at += part.len() + 1;
    }
    Ok(())
}

//! `config` and `reconfig`: the membership of the ensemble.

use jute::proto::*;

use super::commands::{Context, Done, ask, read, text, usage};
use super::error::CliError;
use super::words::Given;
use crate::client::WatchKind;
use crate::config::{JavaProperties, Membership};

const CONFIG_NODE: &str = "/zookeeper/config";

pub(super) fn config(shell: &mut Context<'_>, given: &Given) -> Done {
    // Never below a chroot.
    let request = GetDataRequest { path: text(CONFIG_NODE), watch: given.has("w") };
    let reply = ask(shell.client, op::GET_DATA, &request, CONFIG_NODE)?;
    if given.has("w") {
        shell.client.watch(WatchKind::Data, CONFIG_NODE);
    }
    let answer: GetDataResponse<'_> = read(&reply, CONFIG_NODE)?;
    let text = String::from_utf8_lossy(answer.data.unwrap_or(b"null")).into_owned();
    let shown = if given.has("c") { client_addresses(&text) } else { text };
    shell.out.put("config", shown.clone(), &shown);
    if given.has("s") {
        shell.out.stat(&answer.stat);
    }
    Ok(())
}

/// `ConfigUtils.getClientConfigStr`: version and client addresses.
fn client_addresses(config: &str) -> String {
    let Ok(properties) = JavaProperties::parse(config.as_bytes()) else { return String::new() };
    let mut version = "";
    let mut addresses = Vec::new();
    for entry in properties.entries() {
        let (key, value) = (entry.key.trim(), entry.value.trim());
        if key == "version" {
            version = value;
        } else if key.starts_with("server.") {
            // A port alone is on every address.
            addresses.push(match value.split_once(';') {
                None => String::new(),
                Some((_, client)) if client.contains(':') => client.to_owned(),
                Some((_, port)) => format!("0.0.0.0:{port}"),
            });
        }
    }
    format!("{version} {}", addresses.join(","))
}

pub(super) fn reconfig(shell: &mut Context<'_>, given: &Given) -> Done {
    let (file, members) = (given.value("file"), given.value("members"));
    let (add, remove) = (given.value("add"), given.value("remove"));
    if [file, members, add, remove].iter().all(Option::is_none) {
        return Err(CliError::new(usage("reconfig")));
    }
    let expected = match given.value("v") {
        None => -1,
        Some(text) => i64::from_str_radix(text, 16)
            .map_err(|_| CliError::new("-v must be followed by a long (configuration version)"))?,
    };
    if (file.is_some() || members.is_some()) && (add.is_some() || remove.is_some()) {
        return Err(CliError::new(
            "Can't use -file or -members together with -add or -remove (mixing incremental and \
             non-incremental modes is not allowed)",
        ));
    }
    if file.is_some() && members.is_some() {
        return Err(CliError::new(
            "Can't use -file and -members together (conflicting non-incremental modes)",
        ));
    }
    let whole = match file {
        Some(file) => Some(
            members_of(file)
                .map_err(|why| CliError::new(format!("Error processing {file}{why}")))?,
        ),
        None => members.map(str::to_lowercase),
    };
    let (add, remove) = (add.map(str::to_lowercase), remove.map(str::to_lowercase));
    let request = ReconfigRequest {
        joining_servers: add.as_deref().map(Into::into),
        leaving_servers: remove.as_deref().map(Into::into),
        new_members: whole.as_deref().map(Into::into),
        cur_config_id: expected,
    };
    let reply = ask(shell.client, op::RECONFIG, &request, "")?;
    let answer: GetDataResponse<'_> = read(&reply, "")?;
    let text = String::from_utf8_lossy(answer.data.unwrap_or_default()).into_owned();
    shell.out.put("config", text.clone(), format_args!("Committed new configuration:\n{text}"));
    if given.has("s") {
        shell.out.stat(&answer.stat);
    }
    Ok(())
}

/// The membership in a file, as `QuorumVerifier.toString` writes it.
fn members_of(file: &str) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{file} (No such file or directory)"),
        std::io::ErrorKind::PermissionDenied => format!("{file} (Permission denied)"),
        std::io::ErrorKind::IsADirectory => format!("{file} (Is a directory)"),
        _ => error.to_string(),
    })?;
    let properties = JavaProperties::parse(&bytes).map_err(|error| error.to_string())?;
    let entries = properties.entries().iter().map(|entry| (entry.key.trim(), entry.value.trim()));
    let known = |key: &str| {
        key == "version"
            || ["server.", "group", "weight"].iter().any(|start| key.starts_with(start))
    };
    if let Some((key, _)) = entries.clone().find(|(key, _)| !known(key)) {
        return Err(format!("Unrecognised parameter: {key}"));
    }
    let membership =
        Membership::parse(entries, false, false).map_err(|(_, error)| error.to_string())?;
    // `QuorumPeerConfig.parseDynamicConfig`; the client has no `standaloneEnabled=false`.
    match (membership.voters().count(), membership.observers().count()) {
        (0, 1..) => Err("Observers w/o participants is an invalid configuration".to_owned()),
        (1, 1..) => Err("Observers w/o quorum is an invalid configuration".to_owned()),
        _ => Ok(membership.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_clients() {
        let text = "server.1=a:1:2:participant;10.0.0.1:2181\nserver.2=b:1:2;2182\n\
                    server.3=c:1:2\nversion=100000002";
        assert_eq!(client_addresses(text), "100000002 10.0.0.1:2181,0.0.0.0:2182,");
        assert_eq!(client_addresses(""), " ");
    }
}

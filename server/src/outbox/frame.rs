//! The one frame without a reply header: the answer to a connect request. All other replies are
//! laid out in `read::reply`.

use jute::Encode;
use jute::proto::ConnectResponse;

use crate::base::SessionId;
use crate::session;

/// Appends a connect response; `granted` is the session with its timeout in ms, or `None` for "no
/// such session". Old clients, which sent no `readOnly` byte, do not expect one back.
pub fn append_connect_response(
    out: &mut Vec<u8>,
    granted: Option<(SessionId, i32)>,
    with_read_only: bool,
    read_only: bool,
) {
    let passwd = granted.map_or([0; 16], |(id, _)| session::password(id));
    let response = ConnectResponse {
        protocol_version: 0,
        timeout: granted.map_or(0, |(_, timeout_ms)| timeout_ms),
        session_id: granted.map_or(0, |(id, _)| id.0),
        passwd: Some(&passwd),
        read_only,
    };
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    response.encode(out);
    if !with_read_only {
        out.pop();
    }
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn responses_equal_captured_ones() {
        let mut out = Vec::new();
        append_connect_response(
            &mut out,
            Some((SessionId(0x0100_0012_a464_0033), 10_000)),
            true,
            false,
        );
        let expected = "00000025000000000000271001000012a464003300000010\
                        fc7ad702733454704b2041a27b7046e700";
        assert_eq!(hex(&out), expected);
        out.clear();
        append_connect_response(&mut out, None, false, false);
        assert_eq!(hex(&out), format!("00000024{}", "0".repeat(32) + "00000010" + &"0".repeat(32)));
    }
}

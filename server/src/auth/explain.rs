//! What a failed handshake means to whoever has to repair it.

use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};

/// The library's words, and where to look. Keys are those behind `ssl.` or `ssl.quorum.`.
pub fn explain(error: &Error) -> String {
    if let Error::InvalidCertificate(Certificate::Other(why)) = error {
        return format!("invalid peer certificate: {}", why.0);
    }
    let advice = match error {
        Error::InvalidCertificate(Certificate::UnknownIssuer) => {
            "trustStore here holds neither it nor its issuer"
        }
        Error::InvalidCertificate(Certificate::Expired | Certificate::NotValidYet) => {
            "it must be renewed, or a clock is wrong"
        }
        Error::NoCertificatesPresented => "the other side has no certificate: see keyStore there",
        Error::AlertReceived(
            Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate,
        ) => "the other side refuses our certificate: compare keyStore here with trustStore there",
        Error::AlertReceived(Alert::CertificateRequired) => {
            "the other side wants a certificate: see keyStore here"
        }
        Error::PeerIncompatible(_)
        | Error::AlertReceived(Alert::HandshakeFailure | Alert::ProtocolVersion) => {
            "compare protocol, enabledProtocols and ciphersuites of both sides"
        }
        Error::InvalidMessage(_) => "the other side does not speak TLS",
        _ => return error.to_string(),
    };
    format!("{error} ({advice})")
}

//! Which certificates are trusted: those with a path to a trusted one, as in Java also a trusted
//! one itself. Names are not looked at here (see `names`).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use tracing::{debug, warn};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_parser::extensions::KeyUsage as Usage;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// Judges chains by trusted certificates.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    trusted: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    hints: Vec<DistinguishedName>,
    mandatory: bool,
}

impl Verifier {
    /// `mandatory`: the other side must have a certificate.
    pub fn new(
        provider: Arc<CryptoProvider>,
        trusted: Vec<CertificateDer<'static>>,
        mandatory: bool,
    ) -> Self {
        let mut anchors = Vec::new();
        for certificate in &trusted {
            match anchor_from_trusted_cert(certificate) {
                Ok(anchor) => anchors.push(anchor.to_owned()),
                Err(error) => warn!(%error, "a trusted certificate cannot be used"),
            }
        }
        let hints = trusted
            .iter()
            .filter_map(|c| X509Certificate::from_der(c).ok())
            .map(|(_, c)| DistinguishedName::from(c.subject().as_raw().to_vec()))
            .collect();
        Self { provider, trusted, anchors, hints, mandatory }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        if self.trusted.iter().any(|trusted| trusted == leaf) {
            return in_time(leaf, now);
        }
        let certificate = EndEntityCert::try_from(leaf).map_err(refused)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        certificate
            .verify_for_usage(algorithms, &self.anchors, others, now, usage, None, Some(&issuers))
            .map_err(refused)?;
        // Every suite we have asks for a signature.
        if !may(leaf, Usage::digital_signature) {
            return Err(Unfit::Signatures.into());
        }
        Ok(())
    }
}

/// Why a chain is refused although it leads to a trusted certificate (`EndEntityChecker`).
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("its keyUsage allows no digital signatures")]
    Signatures,
    #[error("its extendedKeyUsage does not allow this use")]
    Use,
    #[error("it is marked as a CA, and does not stand in trustStore itself")]
    Authority,
    #[error("one of its issuers may not sign certificates")]
    Issuer,
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        debug!("a certificate is refused: {unfit}");
        CertificateError::Other(OtherError(Arc::new(unfit))).into()
    }
}

/// The library leaves `keyUsage` aside; Java does not, neither for the peer's certificate nor for
/// those between it and the trusted one.
fn issuers(path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
    match path.intermediate_certificates().all(|issuer| may(&issuer.der(), Usage::key_cert_sign)) {
        true => Ok(()),
        false => Err(webpki::Error::EndEntityUsedAsCa),
    }
}

/// Whether a certificate's `keyUsage` allows something: without one, everything.
fn may(certificate: &CertificateDer<'_>, what: fn(&Usage) -> bool) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| {
        certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| what(usage.value)))
    })
}

/// A trusted certificate ends too.
fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) = parsed.map_err(|_| CertificateError::BadEncoding)?;
    let now = ASN1Time::from_timestamp(now.as_secs() as i64)
        .map_err(|_| Error::General("the clock is out of range".to_owned()))?;
    let validity = parsed.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// To the alerts that a peer knows from Java: almost everything is `certificate_unknown` there.
fn refused(error: webpki::Error) -> Error {
    debug!(%error, "a certificate is refused");
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired.into(),
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet.into(),
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        webpki::Error::RequiredEkuNotFoundContext(_) => Unfit::Use.into(),
        webpki::Error::CaUsedAsEndEntity => Unfit::Authority.into(),
        webpki::Error::EndEntityUsedAsCa => Unfit::Issuer.into(),
        other => CertificateError::Other(OtherError(Arc::new(other))).into(),
    }
}

/// What both roles ask of a verifier besides the chain: that the peer has the key.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            crypto::verify_tls12_signature(message, certificate, signed, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            crypto::verify_tls13_signature(message, certificate, signed, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(leaf, others, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(leaf, others, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

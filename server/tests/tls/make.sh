#!/bin/bash
# Makes the stores of this folder anew: needs openssl 3 and keytool of a JDK 17. What the tests read
# is kept in the repository, so that neither is needed to run them. Nothing here protects anything.
set -euo pipefail
cd "$(dirname "$0")"
rm -f ./*.pem ./*.p12 ./*.jks ./*.crt ./*.key ./*.csr ./*.srl
P=secret
# Valid from long ago, whatever the clock says.
FROM=20200101000000Z
UNTIL=21200101000000Z

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

sign() { # name extensions option...
    : > index.txt
    openssl ca -batch -notext -preserveDN -startdate $FROM -enddate "$UNTIL" \
        -in "$1.csr" -out "$1.crt" -extfile <(printf '%b' "$2") "${@:3}" 2>/dev/null \
        -config <(printf '%s\n' '[ca]' default_ca=d '[d]' database=index.txt new_certs_dir=. \
            unique_subject=no rand_serial=yes email_in_dn=yes default_md=sha256 policy=p \
            '[p]' commonName=supplied)
    rm -f index.txt* ./[0-9A-F]*.pem
}

ca() { # name subject extensions
    key "$1"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    sign "$1" "$3" -selfsign -keyfile "$1.key"
}

leaf() { # name ca subject extensions
    [ -f "$1.key" ] || key "$1"
    openssl req -new -utf8 -multivalue-rdn -key "$1.key" -subj "$3" -out "$1.csr"
    case $4 in *basicConstraints*) ;; *) set -- "${@:1:3}" "basicConstraints=CA:FALSE\n$4" ;; esac
    sign "$1" "$4" -cert "$2.crt" -keyfile "$2.key"
}

CA="basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign"
ca root "/C=XX/O=Test/CN=Root" "$CA"
ca stranger "/C=XX/O=Elsewhere/CN=Stranger" "$CA"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out server.key
leaf server root "/C=XX/O=Test/CN=server" "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
leaf renewed root "/C=XX/O=Test/CN=renewed" "subjectAltName=DNS:localhost,IP:127.0.0.1"
leaf elsewhere root "/C=XX/O=Test/CN=elsewhere" "subjectAltName=DNS:elsewhere.invalid"
leaf client root \
    '/C=US/ST=CA/O=Ex "Q", Inc/OU=A+OU=B/CN=Client One/emailAddress=a@b.c' \
    "extendedKeyUsage=clientAuth"
leaf admin root "/O=Test/CN=admin" "extendedKeyUsage=clientAuth"
leaf unknown stranger "/O=Test/CN=unknown" "extendedKeyUsage=clientAuth"
leaf no-signing root "/O=Test/CN=no signing" "keyUsage=critical,keyEncipherment"
leaf signing root "/O=Test/CN=signing" "keyUsage=critical,digitalSignature"
# Issuers between the root and a leaf: one that may sign certificates, one that may not.
issuer() { leaf "$1" root "/O=Test/CN=$1" "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,$2"; }
issuer issuer keyCertSign
issuer no-issuer digitalSignature
leaf below-issuer issuer "/O=Test/CN=below issuer" ""
leaf below-no-issuer no-issuer "/O=Test/CN=below no issuer" ""
UNTIL=20210101000000Z leaf expired root "/O=Test/CN=expired" ""
ca self "/O=Test/CN=self" "basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost"

cp root.crt trust.pem
cat root.crt self.crt > trust-two.pem
for name in server renewed elsewhere client admin unknown self no-signing signing expired; do
    cat "$name.key" "$name.crt" > "$name.pem"
done
for name in issuer no-issuer; do
    cat "below-$name.key" "below-$name.crt" "$name.crt" > "below-$name.pem"
done
pkcs8() { openssl pkcs8 -topk8 -in server.key -passout pass:$P "$@"; }
{ pkcs8 -v2 aes-256-cbc; cat server.crt; } > server-pbes2.pem
{ pkcs8 -v1 PBE-SHA1-3DES -provider legacy -provider default; cat server.crt; } > server-pbes1.pem
{ openssl rsa -in server.key -traditional 2>/dev/null; cat server.crt; } > server-pkcs1.pem

p12() { openssl pkcs12 -export -passout pass:$P -name one -inkey "$1.key" -in "$1.crt" -certfile root.crt "${@:3}" -out "$2"; }
p12 server server-openssl.p12
p12 server server-legacy.p12 -legacy
p12 client client.p12
p12 admin admin.p12
openssl pkcs12 -export -nokeys -passout pass:$P -in root.crt -out trust-openssl.p12

convert() { keytool -importkeystore -noprompt -srckeystore "$1" -srcstoretype PKCS12 -srcstorepass $P \
    -destkeystore "$2" -deststoretype "$3" -deststorepass $P "${@:4}" 2>/dev/null; }
convert server-openssl.p12 server.p12 PKCS12
convert server-openssl.p12 server.jks JKS
cp server.p12 server-is-p12.jks
convert server-openssl.p12 server-otherkey.jks JKS
keytool -keypasswd -storetype JKS -keystore server-otherkey.jks -storepass $P -alias one -keypass $P \
    -new different 2>/dev/null
trust() { keytool -importcert -noprompt -alias root -file root.crt -keystore "$1" -storetype "$2" -storepass $P 2>/dev/null; }
trust trust.p12 PKCS12
trust trust.jks JKS
rm -f ./*.key ./*.csr ./*.srl ./*.crt
# Certificates that tests look at by themselves.
for name in client server elsewhere; do openssl x509 -in "$name.pem" -outform der -out "$name.der"; done

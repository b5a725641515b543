#!/bin/bash
# Makes the stores of this folder anew: needs openssl 3 and keytool of a JDK 17. What the tests read
# is kept in the repository, so that neither is needed to run them. Nothing here protects anything.
set -euo pipefail
cd "$(dirname "$0")"
rm -f ./*.pem ./*.p12 ./*.jks ./*.crt ./*.key ./*.csr ./*.srl
P=secret
DAYS=36500

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

ca() { # name subject
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "$2" -days $DAYS -out "$1.crt" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

leaf() { # name ca subject extensions
    [ -f "$1.key" ] || key "$1"
    openssl req -new -utf8 -multivalue-rdn -key "$1.key" -subj "$3" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days $DAYS \
        -out "$1.crt" -extfile <(printf '%b' "basicConstraints=CA:FALSE\n$4") 2>/dev/null
}

ca root "/C=XX/O=Test/CN=Root"
ca stranger "/C=XX/O=Elsewhere/CN=Stranger"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out server.key
leaf server root "/C=XX/O=Test/CN=server" "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
leaf renewed root "/C=XX/O=Test/CN=renewed" "subjectAltName=DNS:localhost,IP:127.0.0.1"
leaf elsewhere root "/C=XX/O=Test/CN=elsewhere" "subjectAltName=DNS:elsewhere.invalid"
leaf client root \
    '/C=US/ST=CA/O=Ex "Q", Inc/OU=A+OU=B/CN=Client One/emailAddress=a@b.c' \
    "extendedKeyUsage=clientAuth"
leaf admin root "/O=Test/CN=admin" "extendedKeyUsage=clientAuth"
leaf unknown stranger "/O=Test/CN=unknown" "extendedKeyUsage=clientAuth"
openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key \
    -subj "/O=Test/CN=self" -days $DAYS -out self.crt -addext subjectAltName=DNS:localhost 2>/dev/null

cp root.crt trust.pem
cat root.crt self.crt > trust-two.pem
for name in server renewed elsewhere client admin unknown self; do
    cat "$name.key" "$name.crt" > "$name.pem"
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

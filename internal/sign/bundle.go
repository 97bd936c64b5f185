package sign

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/sallyport/sallyport/internal/sign/inclusion"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekortiles "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	bundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	recordKind      = "hashedrekord"
	recordVersion   = "0.0.2"
)

// signatureRecord is the log's record of a signature: Rekor v2 hashedrekord
// 0.0.2 over the digest of the envelope's pre-authentication encoding, in RFC
// 8785 form. Verifiers make it anew from the bundle, so its bytes are fixed.
func signatureRecord(certDER, signature, statement []byte) ([]byte, error) {
	sum := sha256.Sum256(dsse.PAE(payloadType, statement))
	b, err := protojson.Marshal(&rekortiles.Entry{
		Kind: recordKind, ApiVersion: recordVersion,
		Spec: &rekortiles.Spec{Spec: &rekortiles.Spec_HashedRekordV002{
			HashedRekordV002: &rekortiles.HashedRekordLogEntryV002{
				Data: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
				Signature: &rekortiles.Signature{
					Content: signature,
					Verifier: &rekortiles.Verifier{
						KeyDetails: protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
						Verifier: &rekortiles.Verifier_X509Certificate{
							X509Certificate: &protocommon.X509Certificate{RawBytes: certDER},
						},
					},
				},
			},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode log record: %w", err)
	}
	if b, err = jsoncanonicalizer.Transform(b); err != nil {
		return nil, fmt.Errorf("encode log record: %w", err)
	}
	return b, nil
}

// assemble puts both bundles together and verifies the full one as a stranger
// would: what does not verify is never handed out.
func (a *Authority) assemble(s signed, p *inclusion.Proof) (Bundles, error) {
	entry, err := a.logEntry(p)
	if err != nil {
		return Bundles{}, err
	}
	full, err := encode(&protobundle.Bundle{
		MediaType: bundleMediaType,
		Content:   envelope(s),
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{
				Certificate: &protocommon.X509Certificate{RawBytes: s.cert.der},
			},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry},
			TimestampVerificationData: &protobundle.TimestampVerificationData{
				Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: s.timestamp}},
			},
		},
	})
	if err != nil {
		return Bundles{}, err
	}
	_, _, err = a.checker.Verify(full, Want{
		Identity: s.identity, Issuer: a.Issuer(),
		Artifact: s.want.subject, PredicateType: s.want.predicate,
	})
	if err != nil {
		return Bundles{}, fmt.Errorf("check own signature: %w", err)
	}
	plain, err := encode(&protobundle.Bundle{
		MediaType: bundleMediaType,
		Content:   envelope(s),
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{
				PublicKey: &protocommon.PublicKeyIdentifier{Hint: keyHint(s.key.publicDER())},
			},
		},
	})
	return Bundles{Full: full, Plain: plain}, err
}

func envelope(s signed) *protobundle.Bundle_DsseEnvelope {
	return &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
		Payload: s.statement, PayloadType: payloadType,
		Signatures: []*protodsse.Signature{{Sig: s.signature}},
	}}
}

// logEntry is the proof in Rekor's form. There is no integrated time: Rekor v2
// has none, the timestamp says when.
func (a *Authority) logEntry(p *inclusion.Proof) (*protorekor.TransparencyLogEntry, error) {
	cp, err := p.Check(a.logKey)
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(p.Hashes))
	for i, h := range p.Hashes {
		hashes[i] = h[:]
	}
	id, err := logID(a.log.VerifierKey())
	if err != nil {
		return nil, err
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex:    int64(p.Index),
		LogId:       &protocommon.LogId{KeyId: id},
		KindVersion: &protorekor.KindVersion{Kind: recordKind, Version: recordVersion},
		InclusionProof: &protorekor.InclusionProof{
			LogIndex: int64(p.Index), TreeSize: int64(cp.Size), RootHash: cp.Root[:], Hashes: hashes,
			Checkpoint: &protorekor.Checkpoint{Envelope: p.Checkpoint},
		},
		CanonicalizedBody: p.Leaf,
	}, nil
}

// encode returns protobuf JSON without the random spaces that protojson puts in.
func encode(m proto.Message) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out.Bytes(), nil
}

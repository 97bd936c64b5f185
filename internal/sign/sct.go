package sign

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
)

// promise returns the value of the SCT list extension for a precertificate: one
// signed certificate timestamp of our CT key (RFC 6962 section 3.2).
func (p *pki) promise(precert []byte, now time.Time) ([]byte, error) {
	pre, err := ctx509.ParseCertificate(precert)
	if ctx509.IsFatal(err) {
		return nil, fmt.Errorf("parse precertificate: %w", err)
	}
	tbs, err := ctx509.BuildPrecertTBS(pre.RawTBSCertificate, nil)
	if err != nil {
		return nil, fmt.Errorf("read precertificate: %w", err)
	}
	sct := ct.SignedCertificateTimestamp{
		SCTVersion: ct.V1, LogID: ct.LogID{KeyID: p.ctLogID}, Timestamp: uint64(now.UnixMilli()),
	}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: ct.MerkleTreeLeaf{
		Version: ct.V1, LeafType: ct.TimestampedEntryLeafType,
		TimestampedEntry: &ct.TimestampedEntry{
			EntryType: ct.PrecertLogEntryType,
			PrecertEntry: &ct.PreCert{
				IssuerKeyHash:  sha256.Sum256(p.inter.RawSubjectPublicKeyInfo),
				TBSCertificate: tbs,
			},
		},
	}})
	if err != nil {
		return nil, fmt.Errorf("encode SCT: %w", err)
	}
	sig, err := cttls.CreateSignature(*p.ctK, cttls.SHA256, input)
	if err != nil {
		return nil, fmt.Errorf("sign SCT: %w", err)
	}
	sct.Signature = ct.DigitallySigned(sig)
	return sctList(sct)
}

func sctList(sct ct.SignedCertificateTimestamp) ([]byte, error) {
	b, err := cttls.Marshal(sct)
	if err != nil {
		return nil, fmt.Errorf("encode SCT: %w", err)
	}
	list, err := cttls.Marshal(ctx509.SignedCertificateTimestampList{
		SCTList: []ctx509.SerializedSCT{{Val: b}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode SCT list: %w", err)
	}
	octets, err := asn1.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode SCT list: %w", err)
	}
	return octets, nil
}

// certificateRecord is the log's record of a precertificate. Without it the SCT
// would be decoration: a promise to log that nobody keeps.
func certificateRecord(precert []byte, logID [sha256.Size]byte, now time.Time) ([]byte, error) {
	type spec struct {
		LogID          string `json:"logId"`
		Precertificate string `json:"precertificate"`
		Timestamp      int64  `json:"timestamp"` // milliseconds, as in the SCT
	}
	b, err := json.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
	}{"0.0.1", "precertificate", spec{
		LogID:          hex.EncodeToString(logID[:]),
		Precertificate: base64.StdEncoding.EncodeToString(precert),
		Timestamp:      now.UnixMilli(),
	}})
	if err != nil {
		return nil, fmt.Errorf("encode certificate record: %w", err)
	}
	return b, nil
}

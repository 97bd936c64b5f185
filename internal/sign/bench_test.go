package sign

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkVerifyFull is one full bundle, with the trusted root read before.
func BenchmarkVerifyFull(b *testing.B) {
	v := goldenVerifier(b)
	raw, err := os.ReadFile(golden(b, "good.sigstore.json"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := v.Verify(raw, goldenWant()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bundles/s")
}

// BenchmarkVerifyPlain is one plain bundle.
func BenchmarkVerifyPlain(b *testing.B) {
	raw, err := os.ReadFile(golden(b, "plain.sigstore.json"))
	if err != nil {
		b.Fatal(err)
	}
	key, err := os.ReadFile(golden(b, "provenance.pem"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := VerifyPlain(raw, key, goldenWant()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bundles/s")
}

// BenchmarkAttest signs and logs as many statements as a release has, on an
// idle log each time.
func BenchmarkAttest(b *testing.B) {
	for _, n := range []int{1, 5} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			bench := newBench(b)
			reqs := make([]Request, n)
			for i := range reqs {
				reqs[i] = Request{Role: Provenance, Identity: testIdentity, Statement: bench.statement}
			}
			for b.Loop() {
				if _, err := bench.a.AttestAll(b.Context(), reqs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

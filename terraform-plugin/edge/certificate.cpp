#include "terraform-plugin/edge/certificate.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <vector>

namespace pvr::tf {
namespace {

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* pointer) const { Free(pointer); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509, X509_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO, BIO_free_all>>;

bool extend(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string base64(const std::vector<unsigned char>& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes.data(),  // NOLINT(*-reinterpret-cast)
                      static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  while (!out.empty() && out.back() == '=') out.pop_back();
  return out;
}

}  // namespace

Result<Certificate> make_certificate() {
  const Error failed{.kind = ErrorKind::kBroken, .message = "no certificate could be made"};
  const Key pair(EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  if (!pair || !certificate) return failed;
  std::array<unsigned char, 16> serial{};
  if (RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) return failed;
  serial[0] &= 0x7fU;
  ASN1_INTEGER* number = X509_get_serialNumber(certificate.get());
  BIGNUM* big = BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr);
  BN_to_ASN1_INTEGER(big, number);
  BN_free(big);
  X509_set_version(certificate.get(), X509_VERSION_3);
  constexpr int kBefore = -3600;                          // clocks step
  constexpr std::int64_t kAfter = 3LL * 365 * 24 * 3600;  // longer than any process lives
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), kBefore);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kAfter);
  X509_set_pubkey(certificate.get(), pair.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  const auto entry = [&](const char* field, const char* value) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, reinterpret_cast<const unsigned char*>(value), -1, -1,
                               0);  // NOLINT(*-reinterpret-cast)
  };
  entry("O", "pvereconcile");
  entry("CN", "localhost");
  X509_set_issuer_name(certificate.get(), name);
  const bool extended =
      extend(certificate.get(), NID_basic_constraints, "critical,CA:TRUE") &&
      extend(certificate.get(), NID_key_usage, "critical,digitalSignature,keyAgreement,keyCertSign") &&
      extend(certificate.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
      extend(certificate.get(), NID_subject_alt_name, "DNS:localhost");
  if (!extended || X509_sign(certificate.get(), pair.get(), EVP_sha256()) == 0) return failed;

  Certificate out;
  const BioPtr pem(BIO_new(BIO_s_mem()));
  const BioPtr key(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(pem.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(key.get(), pair.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return failed;
  out.pem = text_of(pem.get());
  out.key_pem = text_of(key.get());
  const int size = i2d_X509(certificate.get(), nullptr);
  if (size <= 0) return failed;
  std::vector<unsigned char> der(static_cast<std::size_t>(size));
  unsigned char* at = der.data();
  i2d_X509(certificate.get(), &at);
  out.der_base64 = base64(der);
  return out;
}

}  // namespace pvr::tf

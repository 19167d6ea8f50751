#include "simulator/wire/certificate.h"

#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

namespace pvesim {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* value) const {
    Free(value);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("cannot make the simulator's certificate: ") + what);
}

std::string content(const BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  require(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, "extension");
}

}  // namespace

std::string sha256(const std::string& text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  unsigned int size = 0;
  require(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1, "digest");
  return {digest.begin(), digest.end()};
}

Certificate make_certificate(const std::string& common_name, const std::vector<std::string>& names,
                             const std::string& seed_text) {
  const std::string secret = sha256(seed_text);
  std::array<unsigned char, 32> raw{};
  std::copy(secret.begin(), secret.end(), raw.begin());
  // Ed25519 because its signatures need no chance: the certificate is the same every time.
  const Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size()));
  require(key != nullptr, "key");
  const X509Ptr certificate(X509_new());
  require(certificate != nullptr, "certificate");
  X509* x = certificate.get();
  X509_set_version(x, 2);
  const std::string serial = sha256("serial " + seed_text);
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 7; ++i) number = (number << 8U) | static_cast<unsigned char>(serial[i]);
  require(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), number | 1U) == 1, "serial");
  require(ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20200101000000Z") == 1, "begin");
  require(ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "20991231235959Z") == 1, "end");
  require(X509_set_pubkey(x, key.get()) == 1, "public key");
  X509_NAME* name = X509_get_subject_name(x);
  const std::vector<unsigned char> text(common_name.begin(), common_name.end());
  require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text.data(), static_cast<int>(text.size()), -1, 0) == 1,
          "name");
  require(X509_set_issuer_name(x, name) == 1, "issuer");
  std::string alternatives = "IP:127.0.0.1,IP:::1,DNS:localhost";
  for (const std::string& one : names) alternatives += ",DNS:" + one;
  add_extension(x, NID_subject_alt_name, alternatives);
  add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
  require(X509_sign(x, key.get(), nullptr) > 0, "signature");

  Certificate out;
  const BioPtr certificate_text(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_X509(certificate_text.get(), x) == 1, "PEM");
  out.certificate = content(certificate_text);
  const BioPtr key_text(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1, "PEM key");
  out.key = content(key_text);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  require(X509_digest(x, EVP_sha256(), digest.data(), &size) == 1, "fingerprint");
  for (unsigned int i = 0; i < size; ++i) {
    std::array<char, 4> part{};
    std::snprintf(part.data(), part.size(), "%02X", digest.at(i));
    out.fingerprint += (i > 0 ? ":" : "") + std::string(part.data());
  }
  return out;
}

}  // namespace pvesim

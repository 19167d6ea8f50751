#include "terraform-plugin/cty/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace pvr::tf {
namespace {

using namespace std::string_literals;

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[static_cast<unsigned char>(c) >> 4U];
    out += kDigits[static_cast<unsigned char>(c) & 15U];
  }
  return out;
}

TEST(Codec, WritesTheVectorsOfTheProtocol) {
  EXPECT_EQ(hex(encode_msgpack(Value(Unknown{}))), "d40000");
  EXPECT_EQ(hex(encode_msgpack(Value("0.1"))), "a3302e31");
  EXPECT_EQ(hex(encode_msgpack(Value(-5))), "fb");
  EXPECT_EQ(hex(encode_msgpack(Value(std::int64_t{5000000000}))), "cf000000012a05f200");
  EXPECT_EQ(hex(encode_msgpack(Value())), "c0");
  EXPECT_EQ(hex(encode_msgpack(Value(List{Value(true), Value()}))), "92c3c0");
}

TEST(Codec, ReadsEveryExtensionAsUnknown) {
  EXPECT_EQ(*decode_msgpack("\xd4\x00\x00"s), Value(Unknown{}));
  // A refined one: "pre-${unknown}".
  EXPECT_EQ(*decode_msgpack("\xc7\x09\x0c\x82\x01\xc2\x02\xa4\x70\x72\x65\x2d"s), Value(Unknown{}));
}

TEST(Codec, ReadsNumbersHoweverTheyTravel) {
  EXPECT_EQ(decode_msgpack("\xd3\x00\x00\x00\x01\x2a\x05\xf2\x00"s)->integer(), 5000000000);
  EXPECT_EQ(decode_msgpack("\xcb\x40\x00\x00\x00\x00\x00\x00\x00"s)->integer(), 2);
  EXPECT_EQ(decode_msgpack("\xa2"
                           "12"s)
                ->integer(),
            12);
  EXPECT_EQ(decode_msgpack("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"s)->text_or_empty(), "18446744073709551615");
  EXPECT_FALSE(decode_msgpack("\xa1x"s)->integer());
}

TEST(Codec, NothingIsNull) {
  EXPECT_TRUE(decode_msgpack("")->is_null());
  EXPECT_TRUE(decode_json("")->is_null());
}

TEST(Codec, ForeignBytesAreAnErrorAndNeverMore) {
  EXPECT_FALSE(decode_msgpack("\x92\xc0"s));
  EXPECT_FALSE(decode_msgpack("\xc1"s));
  EXPECT_FALSE(decode_msgpack("\xc0\xc0"s));
  EXPECT_FALSE(decode_msgpack("\xc4\x01x"s));
  EXPECT_FALSE(decode_msgpack(std::string(100000, '\x91')));
  EXPECT_FALSE(decode_msgpack(std::string(100000, '\xdd')));
  EXPECT_FALSE(decode_json("{"));
  std::mt19937 random(5);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const auto value = decode_msgpack(bytes);
    if (value) {
      EXPECT_EQ(*decode_msgpack(encode_msgpack(*value)), *value) << hex(bytes);
    }
  }
}

}  // namespace
}  // namespace pvr::tf

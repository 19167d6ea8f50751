# Helpers that give every target the same warnings, and the switches of the presets.

set(PVERECONCILE_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined or thread")

add_library(pvereconcile_options INTERFACE)
target_compile_options(pvereconcile_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Wold-style-cast -Woverloaded-virtual -Wimplicit-fallthrough -Werror)
# With optimisation GCC 12 to 14 report std::string sums (-Wrestrict, GCC bug 105651) and copies of std::optional
# (-Wmaybe-uninitialized) that are right; the sanitizer builds watch what these two would tell.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(pvereconcile_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(PVERECONCILE_SANITIZE)
  target_compile_options(pvereconcile_options INTERFACE
    -fsanitize=${PVERECONCILE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND PVERECONCILE_SANITIZE MATCHES "undefined")
    # With these three, GCC no longer knows in a constant expression that a function is not null (GCC bug 71962), and the
    # tables' static_asserts ask just that. A null pointer that is followed still ends in the address sanitizer's report.
    target_compile_options(pvereconcile_options INTERFACE
      -fno-sanitize=null,nonnull-attribute,returns-nonnull-attribute)
  endif()
  target_link_options(pvereconcile_options INTERFACE -fsanitize=${PVERECONCILE_SANITIZE})
endif()

# pvereconcile_library(NAME SOURCES... [LINK ...] [PRIVATE_LINK ...]): one static library of ours.
function(pvereconcile_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE pvereconcile_options ${ARG_PRIVATE_LINK})
endfunction()

# pvereconcile_test(NAME SOURCES... LINK ... [LABELS ...]): a GoogleTest program, one CTest entry per test case.
function(pvereconcile_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main pvereconcile_options)
  target_compile_definitions(${name} PRIVATE PVERECONCILE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300)
endfunction()
include(GoogleTest)

# Models compiled by octet as libraries of a CMake project. `octet cmake DIR` writes this file.
#
#   find_package(octet REQUIRED CONFIG)
#   octet_add_model(digits model/digits.xml CPU x86-64-v3)
#   target_link_libraries(app PRIVATE digits)
#
# OCTET_EXECUTABLE is the compiler; by default it is looked for in PATH.

find_program(OCTET_EXECUTABLE octet DOC "The octet compiler")
if(NOT OCTET_EXECUTABLE)
  set(octet_FOUND FALSE)
  set(octet_NOT_FOUND_MESSAGE "octet is not in PATH; set OCTET_EXECUTABLE to it")
  return()
endif()

# octet_add_model(NAME MODEL [CPU cpu] [TARGET triple] [OPTIONS option...])
#
# Adds the library target NAME with the header NAME.h, compiled from MODEL when that changes. MODEL is the .xml file of an
# OpenVINO IR with its .bin beside it, or an .oir text dump. NAME is also the prefix of the symbols. OPTIONS are passed to
# `octet compile`. Without CPU the code is for the machine that builds, which is seldom the one that runs.
function(octet_add_model name model)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "CPU;TARGET" "OPTIONS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "octet_add_model: unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  get_filename_component(model "${model}" ABSOLUTE)
  set(sources "${model}")
  string(REGEX REPLACE "\\.xml$" ".bin" weights "${model}")
  if(NOT weights STREQUAL model)
    list(APPEND sources "${weights}")
  endif()
  set(options ${arg_OPTIONS})
  if(arg_CPU)
    list(APPEND options --cpu ${arg_CPU})
  endif()
  if(arg_TARGET)
    list(APPEND options --target ${arg_TARGET})
  elseif(CMAKE_CROSSCOMPILING)
    list(APPEND options --target ${CMAKE_SYSTEM_PROCESSOR}-unknown-linux-gnu)
  endif()
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/octet-${name}")
  # An imported library's directory of headers must exist before the build.
  file(MAKE_DIRECTORY "${directory}")
  set(library "${directory}/lib${name}.a")
  add_custom_command(
    OUTPUT "${library}" "${directory}/${name}.h"
    COMMAND "${OCTET_EXECUTABLE}" compile "${model}" --name ${name} --emit staticlib,header -o "${library}" --quiet ${options}
    DEPENDS ${sources} "${OCTET_EXECUTABLE}"
    COMMENT "Compiling the model ${name}"
    VERBATIM)
  add_custom_target(${name}_model DEPENDS "${library}" "${directory}/${name}.h")
  add_library(${name} STATIC IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${library}" INTERFACE_INCLUDE_DIRECTORIES "${directory}")
  add_dependencies(${name} ${name}_model)
endfunction()

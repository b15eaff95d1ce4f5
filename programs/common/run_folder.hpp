// A folder of results that a run which was stopped can go on with: what was computed with other settings is
// not mixed in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "settings.hpp"

/// The SHA-256 of bytes, and of a file's bytes, in hexadecimal.
std::string sha256(std::span<const std::uint8_t> bytes);
std::string sha256_of_file(const std::filesystem::path& path);

/// The path as it is the same from any working directory; empty stays empty.
std::string absolute(const std::string& path);

/// What a result depends on of the network and of the methods' options.
nlohmann::json settings_json(const Settings& settings);

/// JSON in one line; bytes that are not UTF-8 become replacement characters.
std::string text_of(const nlohmann::json& json);

/// The file's JSON object. Throws FileError if it holds something else.
nlohmann::json read_json(const std::filesystem::path& path);

/// The first option in which two settings differ, for a message: "--steps (50, now 10)". Empty if they are
/// alike.
std::string difference(const nlohmann::json& before, const nlohmann::json& now);

/// Makes the folder and FOLDER/settings.json, or takes up what is there. `results` is the folder in it that
/// holds the results; it is made too. Throws FileError if there are results of other settings.
void claim_folder(const std::filesystem::path& folder, const std::string& results,
                  const nlohmann::json& settings);

/// A field of a CSV file (RFC 4180).
std::string csv_field(const std::string& text);

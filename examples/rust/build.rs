fn main() {
    octet::build::Model::new("../digits/model/digits.xml").compile();
}
